//! The configuration of registry:2 as a flat list: `http.tls.key` and its text, the environment over the file.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use yaml_rust2::{Yaml, YamlLoader};

/// Keys in lower case, elements of lists by their number.
#[derive(Debug, Default)]
pub(super) struct Written(BTreeMap<String, String>);

impl Written {
    /// Reads a `config.yml`, which may be empty, and variables.
    pub(super) fn read(
        yaml: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let documents = YamlLoader::load_from_str(yaml).context("the configuration is no YAML")?;
        ensure!(documents.len() <= 1, "the configuration has more than one document");
        let mut written = Self::default();
        if let Some(document) = documents.first() {
            written.add(String::new(), document);
        }
        for (name, value) in environment {
            let Some(path) = name.strip_prefix("REGISTRY_") else { continue };
            let key = path.to_ascii_lowercase().replace('_', ".");
            // A variable may hold a whole section as YAML, or name the driver: REGISTRY_STORAGE=filesystem.
            match YamlLoader::load_from_str(&value).ok().and_then(|documents| documents.into_iter().next()) {
                Some(section @ (Yaml::Hash(_) | Yaml::Array(_))) => written.add(key, &section),
                _ if key == "storage" || key == "auth" => {
                    written.0.entry(format!("{key}.{value}")).or_default();
                }
                _ => {
                    written.0.insert(key, value);
                }
            }
        }
        Ok(written)
    }

    fn add(&mut self, key: String, value: &Yaml) {
        let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        match value {
            Yaml::Hash(entries) => {
                for (name, value) in entries {
                    let name = text(name).unwrap_or_default();
                    self.add(below(&name.to_ascii_lowercase()), value);
                }
                if entries.is_empty() {
                    self.0.insert(key, String::new());
                }
            }
            Yaml::Array(items) => {
                for (number, value) in items.iter().enumerate() {
                    self.add(below(&number.to_string()), value);
                }
            }
            value => {
                // `storage: filesystem`, without any settings of it.
                let text = text(value).unwrap_or_default();
                if key == "storage" || key == "auth" {
                    self.0.insert(format!("{key}.{text}"), String::new());
                } else {
                    self.0.insert(key, text);
                }
            }
        }
    }

    /// Takes a value out; what is left in the end has no equivalent.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// Takes a switch out.
    pub(super) fn take_switch(&mut self, key: &str) -> Option<bool> {
        let value = self.take(key)?;
        Some(matches!(value.as_str(), "true" | "True" | "TRUE" | "t" | "1" | "yes" | "on"))
    }

    /// Takes out everything at and below `prefix`; whether there was something.
    pub(super) fn take_below(&mut self, prefix: &str) -> Vec<(String, String)> {
        let is_below =
            |key: &str| key.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let keys: Vec<String> = self.0.keys().filter(|key| is_below(key)).cloned().collect();
        keys.into_iter().filter_map(|key| self.0.remove_entry(&key)).collect()
    }

    pub(super) fn has_below(&self, prefix: &str) -> bool {
        self.0.keys().any(|key| key == prefix || key.starts_with(&format!("{prefix}.")))
    }

    pub(super) fn into_keys(self) -> impl Iterator<Item = String> {
        self.0.into_keys()
    }
}

fn text(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(switch) => Some(switch.to_string()),
        _ => None,
    }
}
