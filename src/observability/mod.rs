//! What the server says about itself: log lines on stderr, the audit log, counters for `/metrics`, and traces.
//!
//! Never told: the `Authorization` header, cookies, bodies, and query strings (of a request only its method
//! and path are). A user's name is logged once the user has proven to be it; a name that failed to only when there
//! is such a user, since people type passwords there.

pub mod audit;
mod facts;
pub mod request_log;
mod seldom;
pub mod traces;
mod traffic;

use std::{fmt, io::IsTerminal, str::FromStr, sync::OnceLock, time::Duration};

use tracing_subscriber::{EnvFilter, Layer, Registry, filter::filter_fn, layer::SubscriberExt as _, reload};

pub use facts::{Asked, AuthenticatedUser, Cause, Held, LateAnswer, ReceivedBytes};
pub use seldom::Seldom;
pub use traffic::{Followed, Traffic, traffic};

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
    /// Where the audit log goes, if there is one.
    pub audit: Option<audit::Destination>,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".to_owned(), audit: None }
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
    },
    /// The audit log that was asked for cannot be kept.
    #[error("cannot write the audit log {destination}")]
    Audit {
        /// Where it was to go.
        destination: audit::Destination,
        /// Why not.
        source: std::io::Error,
    },
    /// A log is already set up in this process.
    #[error("the log is already set up")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// Changes the level of the log in service.
static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Writes the audit log, if there is one.
static AUDIT: OnceLock<audit::Writer> = OnceLock::new();

/// Waits until the audit log has what was recorded, for at most `longest`: before the process ends.
pub fn flush_audit(longest: Duration) {
    if let Some(writer) = AUDIT.get()
        && !writer.flush(longest)
    {
        tracing::error!("the last lines of the audit log are lost: its destination does not take them");
    }
}

/// Parses a level as [`init`] would.
///
/// # Errors
/// [`LogError::Level`].
pub fn parse_level(level: &str) -> Result<EnvFilter, LogError> {
    let wrong = || LogError::Level { level: level.to_owned() };
    // The filter would take a level that is misspelt for the name of a module, and log nothing.
    if !level.split(',').all(is_directive) {
        return Err(wrong());
    }
    EnvFilter::builder().parse(level).map_err(|_| wrong())
}

/// A level, or the path of a module and `=` and a level.
fn is_directive(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let (module, level) = text.split_once('=').map_or((None, text), |(module, level)| (Some(module), level));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    LEVELS.contains(&level.to_ascii_lowercase().as_str())
        && module.is_none_or(|module| !module.is_empty() && module.chars().all(plain))
}

/// Logs at another level from now on; nothing happens before [`init`].
///
/// # Errors
/// [`LogError::Level`]; the level is as it was then.
pub fn set_level(level: &str) -> Result<(), LogError> {
    let filter = parse_level(level)?;
    if let Some(handle) = LEVEL.get() {
        // Fails only when the log is gone, and nobody could tell then.
        let _ = handle.reload(filter);
    }
    Ok(())
}

/// Sends log lines, and the message of a panic, to stderr from now on, and records to the audit log.
///
/// # Errors
/// [`LogError`]; nothing has changed then.
pub fn init(config: &Config) -> Result<(), LogError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let terminal = std::io::stderr().is_terminal();
    let json = match config.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let (level, handle) = reload::Layer::new(parse_level(&config.level)?);
    let is_record = |metadata: &tracing::Metadata<'_>| metadata.target() == audit::TARGET;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none());
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        lines.boxed()
    };
    let lines = lines.with_filter(filter_fn(move |metadata| !is_record(metadata))).with_filter(level);
    let records = config.audit.clone().map(audit_writer).transpose()?.map(|writer| {
        let _ = AUDIT.set(writer.clone());
        tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_target(false)
            .with_level(false)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(writer)
            // Spans too: a record names the request it is of.
            .with_filter(filter_fn(move |metadata| metadata.is_span() || is_record(metadata)))
    });
    Registry::default().with(lines).with(records).try_init().map_err(LogError::AlreadySet)?;
    let _ = LEVEL.set(handle);
    std::panic::set_hook(Box::new(|panic| {
        traffic().panicked();
        tracing::error!(%panic, "panic");
    }));
    Ok(())
}

fn audit_writer(destination: audit::Destination) -> Result<audit::Writer, LogError> {
    let started = destination.check().and_then(|()| audit::Writer::start(destination.clone()));
    started.map_err(|source| LogError::Audit { destination, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_none() {
        for level in
            ["error", "warn", "INFO", "debug", "trace", "info,pakhuis::storage=debug", "off,hyper=warn"]
        {
            assert!(parse_level(level).is_ok(), "{level}");
        }
        for level in [
            "inof",
            "",
            "info,",
            "warning",
            "pakhuis",
            "pakhuis=inof",
            "=info",
            "info,debgu",
            "info, hyper=warn",
            "2",
        ] {
            assert!(parse_level(level).is_err(), "{level}");
        }
    }
}
