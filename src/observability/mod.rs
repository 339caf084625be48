//! What the server says about itself: log lines on stderr.
//!
//! Never logged: the `Authorization` header, cookies, bodies, and query strings (of a request only its method
//! and path are). A user's name is logged once the user has proven to be it; a name that failed to is not.

pub mod request_log;

use std::{fmt, io::IsTerminal, str::FromStr, sync::Arc};

use tracing_subscriber::{EnvFilter, filter::ParseError};

/// Response extension: the user a handler found to be asking. It ends up in the request's log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatedUser(pub Arc<str>);

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line, for a log collector.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("\"{name}\" is no log format: write auto, text or json")),
        }
    }
}

/// What to log and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// See [`LogFormat`].
    pub format: LogFormat,
    /// A level, or the directives of `tracing_subscriber::EnvFilter`: `info`, `info,pakhuis::storage=debug`.
    pub level: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".to_owned() }
    }
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is not one.
    #[error("\"{level}\" is no log level: write error, warn, info, debug or trace")]
    Level {
        /// What was given.
        level: String,
        /// What the parser says.
        source: ParseError,
    },
    /// A log is already set up in this process.
    #[error("the log is already set up")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// Parses a level as [`init`] would.
///
/// # Errors
/// [`LogError::Level`].
pub fn parse_level(level: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder().parse(level).map_err(|source| LogError::Level { level: level.to_owned(), source })
}

/// Sends log lines, and the message of a panic, to stderr from now on.
///
/// # Errors
/// [`LogError`]; nothing has changed then.
pub fn init(config: &Config) -> Result<(), LogError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let terminal = std::io::stderr().is_terminal();
    let json = match config.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(parse_level(&config.level)?)
        .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none());
    let set = if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().try_init()
    } else {
        lines.finish().try_init()
    };
    set.map_err(LogError::AlreadySet)?;
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panic")));
    Ok(())
}
