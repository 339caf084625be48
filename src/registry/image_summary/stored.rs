//! How parts of a summary stand in its file.

/// One of the four media types of manifests, as text.
pub(super) mod known_media_type {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::super::MediaType;
    use crate::oci::media_type;

    pub(in super::super) fn serialize<S: Serializer>(
        media_type: &&'static str,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(media_type)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<MediaType, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = [media_type::OCI_MANIFEST, media_type::OCI_INDEX, media_type::DOCKER_MANIFEST];
        let found = known.into_iter().find(|known| *known == text);
        Ok(found.unwrap_or(media_type::DOCKER_MANIFEST_LIST))
    }
}

/// A time, in milliseconds since 1970.
pub(super) mod moment {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use time::{Duration, OffsetDateTime};

    pub(in super::super) fn serialize<S: Serializer>(
        time: &Option<OffsetDateTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let since = time.map(|time| (time - OffsetDateTime::UNIX_EPOCH).whole_milliseconds());
        since.and_then(|since| i64::try_from(since).ok()).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<OffsetDateTime>, D::Error> {
        let since = Option::<i64>::deserialize(deserializer)?;
        let time = |since| OffsetDateTime::UNIX_EPOCH.checked_add(Duration::milliseconds(since));
        Ok(since.and_then(time))
    }
}
