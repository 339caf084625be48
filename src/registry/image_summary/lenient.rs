//! Reading JSON that may hold anything: a value of the wrong type is absent, and nothing grows over its limit.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{MAX_ENTRIES, excerpt::cap};

/// One value, reduced to what a summary keeps of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Value {
    /// null, a number, or anything else without text.
    #[default]
    Nothing,
    /// `true` or `false`.
    Truth(bool),
    /// A string.
    Text(String),
    /// The strings among the entries of a list.
    Texts(Vec<String>),
    /// An object: its keys, with the values that are strings.
    Map(Vec<(String, Option<String>)>),
}

impl Value {
    /// The string it is, or nothing.
    pub(super) fn text(self) -> String {
        if let Self::Text(text) = self { text } else { String::new() }
    }

    /// The list of strings it is. Older builders wrote one string where a list is meant.
    pub(super) fn texts(self) -> Vec<String> {
        match self {
            Self::Texts(texts) => texts,
            Self::Text(text) => vec![text],
            Self::Nothing | Self::Truth(_) | Self::Map(_) => Vec::new(),
        }
    }

    /// The keys of the object it is, as ports and volumes are written.
    pub(super) fn keys(self) -> Vec<String> {
        self.pairs().into_iter().map(|(key, _)| key).collect()
    }

    /// The keys and strings of the object it is; empty for values that are no strings.
    pub(super) fn pairs(self) -> Vec<(String, String)> {
        let Self::Map(map) = self else { return Vec::new() };
        map.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Truth(value))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(cap(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element::<OneText>()? {
            if let OneText(Some(text)) = text
                && texts.len() < MAX_ENTRIES
            {
                texts.push(text);
            }
        }
        Ok(Value::Texts(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, OneText(value))) = object.next_entry::<String, OneText>()? {
            if map.len() < MAX_ENTRIES {
                map.push((cap(&key), value));
            }
        }
        Ok(Value::Map(map))
    }
}

/// A string; anything else is passed over without being built.
struct OneText(Option<String>);

impl<'de> Deserialize<'de> for OneText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneTextVisitor;

        impl<'de> Visitor<'de> for OneTextVisitor {
            type Value = OneText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_bool<E>(self, _: bool) -> Result<OneText, E> {
                Ok(OneText(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<OneText, E> {
                Ok(OneText(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<OneText, E> {
                Ok(OneText(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<OneText, E> {
                Ok(OneText(None))
            }

            fn visit_unit<E>(self) -> Result<OneText, E> {
                Ok(OneText(None))
            }

            fn visit_str<E>(self, value: &str) -> Result<OneText, E> {
                Ok(OneText(Some(cap(value))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneText, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(OneText(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<OneText, A::Error> {
                while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(OneText(None))
            }
        }

        deserializer.deserialize_any(OneTextVisitor)
    }
}

/// A list of which at most [`MAX_ENTRIES`] are kept; `null` is empty.
#[derive(Debug)]
pub(super) struct Entries<T>(pub(super) Vec<T>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<T>(Vec<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list or null")
            }

            fn visit_unit<E>(self) -> Result<Entries<T>, E> {
                Ok(Entries::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Entries<T>, A::Error> {
                while self.0.len() < MAX_ENTRIES {
                    let Some(entry) = list.next_element()? else { return Ok(Entries(self.0)) };
                    self.0.push(entry);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Entries(self.0))
            }
        }

        deserializer.deserialize_any(EntriesVisitor(Vec::new()))
    }
}

/// A time as the image specification writes it (RFC 3339). What builders write for "no time" is none: Go's year 1,
/// and the Unix epoch of reproducible builds.
pub(super) fn time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().filter(|time| *time > OffsetDateTime::UNIX_EPOCH)
}
