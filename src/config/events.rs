//! The section `[events]`: who is told of pushes and deletes.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use super::{
    ConfigError, ConfigFile,
    file::TargetSection,
    settings::{Layers, http_url, parse_duration, shown},
};
use crate::events::{Config, Target};

/// The targets; `None` when nobody is told.
pub(super) fn events(layers: &mut Layers<'_>, file: &ConfigFile) -> Result<Option<Config>, ConfigError> {
    let queue = layers.optional_path("events.queue", file.events.queue.clone());
    if file.events.target.is_empty() {
        return Ok(None);
    }
    let Some(queue) = queue else {
        return Err(ConfigError::Contradiction(
            "[[events.target]] needs events.queue, a directory of this server's own disk",
        ));
    };
    let mut names = BTreeSet::new();
    let mut targets = Vec::new();
    for section in &file.events.target {
        let target = target(layers, section)?;
        if !names.insert(target.name.clone()) {
            return Err(wrong("events.target.name", &target.name, "name that no other target has"));
        }
        targets.push(target);
    }
    let told = targets.iter().map(|target| format!("{} {}", target.name, shown(&target.url)));
    let told = told.collect::<Vec<_>>();
    layers.noted("events.target", told.join(", "));
    Ok(Some(Config { queue, targets }))
}

fn wrong(key: &'static str, value: &str, expected: &'static str) -> ConfigError {
    ConfigError::Value { key, origin: "file".to_owned(), value: value.to_owned(), expected }
}

fn target(layers: &Layers<'_>, section: &TargetSection) -> Result<Target, ConfigError> {
    let name = &section.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(plain) {
        return Err(wrong("events.target.name", name, "name of letters, digits, - and _"));
    }
    let url = http_url(&section.url).ok_or_else(|| {
        wrong("events.target.url", name, "target with an http or https URL without a user in it")
    })?;
    let actions = section.actions.clone().unwrap_or_else(|| vec!["push".to_owned(), "delete".to_owned()]);
    let actions = actions.iter().map(|action| {
        action
            .parse()
            .map_err(|()| wrong("events.target.actions", action, "action: push, pull, mount or delete"))
    });
    let time = |key, text: &Option<String>, default| match text {
        None => Ok(Duration::from_secs(default)),
        Some(text) => {
            parse_duration(text).ok_or_else(|| wrong(key, text, "time span, such as 60s, 5m, 12h or 7d"))
        }
    };
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| layers.beside_the_file(path));
    Ok(Target {
        name: name.clone(),
        url,
        secret_file: path(&section.secret_file),
        ca_certificate: path(&section.ca_certificate),
        actions: actions.collect::<Result<_, _>>()?,
        blobs: section.blobs,
        repositories: section.repositories.clone(),
        timeout: time("events.target.timeout", &section.timeout, 10)?,
        longest_pause: time("events.target.longest_pause", &section.longest_pause, 60)?,
        give_up: time("events.target.give_up", &section.give_up, 7 * 86_400)?,
    })
}
