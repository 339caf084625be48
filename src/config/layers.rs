//! Flag over environment over file over default: one value from its layers, and where it came from.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::ConfigError;

/// Reads one environment variable; injected, so that tests do not touch the environment of the process.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A command-line flag.
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// The configuration file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Environment(name) => f.write_str(name),
            Self::File(path) => path.display().fmt(f),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value in force and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Its origin.
    pub source: Source,
}

impl<T> Setting<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Setting<U> {
        Setting { value: change(self.value), source: self.source }
    }
}

/// The layers below the flags.
pub(super) struct Layers<'a> {
    pub(super) environment: Lookup<'a>,
    pub(super) file: Option<&'a Path>,
}

impl Layers<'_> {
    /// The value of a key that only the file can set.
    pub(super) fn in_file<T>(&self, written: Option<T>, default: T) -> Setting<T> {
        self.from_file(written).unwrap_or(Setting { value: default, source: Source::Default })
    }

    pub(super) fn from_file<T>(&self, written: Option<T>) -> Option<Setting<T>> {
        let source = self.file.map_or(Source::Default, |path| Source::File(path.to_owned()));
        written.map(|value| Setting { value, source })
    }

    /// An environment variable; set but empty is unset.
    pub(super) fn variable<T>(&self, name: &'static str) -> Result<Option<Setting<T>>, ConfigError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let Some(text) = (self.environment)(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let error = |message: String| ConfigError::Value { place: name.to_owned(), message };
        let text = text.into_string().map_err(|_| error("is not UTF-8".to_owned()))?;
        let value = text.parse().map_err(|reason: T::Err| error(reason.to_string()))?;
        Ok(Some(Setting { value, source: Source::Environment(name) }))
    }

    /// A variable that switches something off: `1`, `true`, `yes`, `on`, or their opposites.
    pub(super) fn switch(&self, name: &'static str) -> Result<Option<Setting<bool>>, ConfigError> {
        let Some(Setting { value, source }) = self.variable::<String>(name)? else { return Ok(None) };
        let value = match value.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => true,
            "0" | "false" | "no" | "off" => false,
            _ => {
                let message = format!("\"{value}\" is neither yes nor no: write 1 or 0");
                return Err(ConfigError::Value { place: name.to_owned(), message });
            }
        };
        Ok(Some(Setting { value, source }))
    }
}

pub(super) fn from_flag<T>(name: &'static str, value: Option<T>) -> Option<Setting<T>> {
    value.map(|value| Setting { value, source: Source::Flag(name) })
}
