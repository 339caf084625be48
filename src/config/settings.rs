//! One setting from four layers: flag, environment, file, default.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use super::ConfigError;
use crate::auth::UserName;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the four layers")]
pub enum Source {
    Flag,
    Environment(&'static str),
    File,
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File => f.write_str("file"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting in force. None of them is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `section.key`, as in the file.
    pub key: &'static str,
    /// As text.
    pub value: String,
    /// Where it came from.
    pub source: Source,
}

/// Picks each value from its layers and remembers which one it was.
pub(super) struct Layers<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    file_directory: PathBuf,
    settings: Vec<Setting>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(environment: &'a dyn Fn(&str) -> Option<String>, file_directory: PathBuf) -> Self {
        Self { environment, file_directory, settings: Vec::new() }
    }

    pub(super) fn into_settings(self) -> Vec<Setting> {
        self.settings
    }

    fn pick(
        &mut self,
        key: &'static str,
        flag: Option<String>,
        variable: &'static str,
        file: Option<String>,
    ) -> Option<(String, Source)> {
        let picked = flag.map(|value| (value, Source::Flag)).or_else(|| self.unshown(variable, file));
        if let Some((value, source)) = &picked {
            self.record(key, value.clone(), source.clone());
        }
        picked
    }

    /// What the environment or the file says, not recorded: there may be a secret in it.
    pub(super) fn unshown(&self, variable: &'static str, file: Option<String>) -> Option<(String, Source)> {
        let environment =
            || (self.environment)(variable).filter(|value| !variable.is_empty() && !value.is_empty());
        environment()
            .map(|value| (value, Source::Environment(variable)))
            .or_else(|| file.map(|value| (value, Source::File)))
    }

    pub(super) fn record(&mut self, key: &'static str, value: String, source: Source) {
        self.settings.push(Setting { key, value, source });
    }

    /// Records what a list in the file came to.
    pub(super) fn noted(&mut self, key: &'static str, value: String) {
        self.record(key, value, Source::File);
    }

    /// A path of the file, which is relative to it.
    pub(super) fn beside_the_file(&self, path: &std::path::Path) -> PathBuf {
        self.file_directory.join(path)
    }

    pub(super) fn parsed<T: FromStr>(
        &mut self,
        key: &'static str,
        flag: Option<String>,
        variable: &'static str,
        file: Option<String>,
        default: &str,
        expected: &'static str,
    ) -> Result<T, ConfigError> {
        self.parsed_by(key, flag, variable, file, default, expected, |text| text.parse().ok())
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the four layers of one setting, what it is, and its parser"
    )]
    pub(super) fn parsed_by<T>(
        &mut self,
        key: &'static str,
        flag: Option<String>,
        variable: &'static str,
        file: Option<String>,
        default: &str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let (value, source) = self.pick(key, flag, variable, file).unwrap_or_else(|| {
            self.record(key, default.to_owned(), Source::Default);
            (default.to_owned(), Source::Default)
        });
        parse(&value).ok_or_else(|| ConfigError::Value { key, origin: source.to_string(), value, expected })
    }

    /// A path. Those of the file are relative to the file, the others to the working directory.
    pub(super) fn path(
        &mut self,
        key: &'static str,
        flag: Option<PathBuf>,
        variable: &'static str,
        file: Option<PathBuf>,
        default: &str,
    ) -> PathBuf {
        self.layered_path(key, flag, variable, file).unwrap_or_else(|| {
            self.record(key, default.to_owned(), Source::Default);
            PathBuf::from(default)
        })
    }

    pub(super) fn layered_path(
        &mut self,
        key: &'static str,
        flag: Option<PathBuf>,
        variable: &'static str,
        file: Option<PathBuf>,
    ) -> Option<PathBuf> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let file = file.map(|path| text(self.file_directory.join(path)));
        self.pick(key, flag.map(text), variable, file).map(|(value, _)| PathBuf::from(value))
    }

    pub(super) fn optional(
        &mut self,
        key: &'static str,
        variable: &'static str,
        file: Option<String>,
    ) -> Option<String> {
        self.pick(key, None, variable, file).map(|(value, _)| value)
    }

    pub(super) fn optional_path(&mut self, key: &'static str, file: Option<PathBuf>) -> Option<PathBuf> {
        self.layered_path(key, None, "", file)
    }

    pub(super) fn switch(&mut self, key: &'static str, file: Option<bool>, default: bool) -> bool {
        let source = if file.is_some() { Source::File } else { Source::Default };
        let value = file.unwrap_or(default);
        self.record(key, value.to_string(), source);
        value
    }

    /// Names of users.
    pub(super) fn names(
        &mut self,
        key: &'static str,
        file: Option<&[String]>,
    ) -> Result<Vec<UserName>, ConfigError> {
        let source = if file.is_some() { Source::File } else { Source::Default };
        let names = file.unwrap_or_default();
        self.record(key, format!("{names:?}"), source.clone());
        let parse = |name: &String| {
            name.parse().map_err(|_| ConfigError::Value {
                key,
                origin: source.to_string(),
                value: name.clone(),
                expected: "name of a user",
            })
        };
        names.iter().map(parse).collect()
    }

    /// Something that is on unless a flag, an environment variable or the file switches it off.
    pub(super) fn off_switch(
        &mut self,
        key: &'static str,
        off: bool,
        variable: &'static str,
        file: Option<bool>,
    ) -> Result<bool, ConfigError> {
        let enabled = if off {
            (false, Source::Flag)
        } else if let Some(value) = (self.environment)(variable).filter(|value| !value.is_empty()) {
            let off = match value.as_str() {
                "1" | "true" | "yes" => true,
                "0" | "false" | "no" => false,
                _ => {
                    return Err(ConfigError::Value {
                        key,
                        origin: format!("environment {variable}"),
                        value,
                        expected: "switch: true or false",
                    });
                }
            };
            (!off, Source::Environment(variable))
        } else if let Some(enabled) = file {
            (enabled, Source::File)
        } else {
            (true, Source::Default)
        };
        self.record(key, enabled.0.to_string(), enabled.1);
        Ok(enabled.0)
    }

    pub(super) fn number<T: TryFrom<u64> + fmt::Display>(
        &mut self,
        key: &'static str,
        file: Option<u64>,
        default: T,
    ) -> Result<T, ConfigError> {
        let Some(number) = file else {
            self.record(key, default.to_string(), Source::Default);
            return Ok(default);
        };
        self.record(key, number.to_string(), Source::File);
        let error = ConfigError::Value {
            key,
            origin: Source::File.to_string(),
            value: number.to_string(),
            expected: "number of this size",
        };
        T::try_from(number).map_err(|_| error)
    }

    /// A number of bytes, with or without a unit.
    pub(super) fn bytes(
        &mut self,
        key: &'static str,
        file: Option<String>,
        default: &'static str,
    ) -> Result<u64, ConfigError> {
        let expected = "number of bytes, such as 64MiB or 20MB";
        self.parsed_by(key, None, "", file, default, expected, parse_bytes)
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        file: Option<&str>,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        let Some(text) = file else {
            self.record(key, format!("{}s", default.as_secs()), Source::Default);
            return Ok(default);
        };
        self.record(key, text.to_owned(), Source::File);
        let expected = "time span, such as 60s, 5m, 12h or 7d";
        parse_duration(text).ok_or_else(|| ConfigError::Value {
            key,
            origin: Source::File.to_string(),
            value: text.to_owned(),
            expected,
        })
    }
}

/// `1048576`, `64MiB`, `20MB`: bytes, with a binary or a decimal unit.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let number: u64 = digits.parse().ok()?;
    let unit = match text[digits.len()..].trim_start() {
        "" | "B" => 1,
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// The URL of a service that is told something.
pub(super) fn http_url(text: &str) -> Option<http::Uri> {
    let url: http::Uri = text.parse().ok()?;
    // A password there would stand in the log and in the list of settings.
    let without_user = !url.authority()?.as_str().contains('@');
    (matches!(url.scheme_str(), Some("http" | "https")) && without_user).then_some(url)
}

/// Such a URL without what may be a secret in it: many receivers take a token as a parameter.
pub(super) fn shown(url: &http::Uri) -> String {
    let authority = url.authority().map_or("", http::uri::Authority::as_str);
    let parameters = if url.query().is_some() { "?..." } else { "" };
    format!("{}://{authority}{}{parameters}", url.scheme_str().unwrap_or_default(), url.path())
}

/// `60s`, `5m`, `12h`, `7d`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(unit).map(Duration::from_secs)
}
