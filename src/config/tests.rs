//! Precedence, and what a wrong value says.
#![allow(clippy::disallowed_methods, reason = "the tests write configuration files")]

use tempfile::TempDir;

use super::*;

fn load(flags: &Flags, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(flags, &|name| {
        environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

fn written(text: &str) -> (TempDir, Flags) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pakhuis.toml");
    std::fs::write(&path, text).unwrap();
    (directory, Flags { config: Some(path), ..Flags::default() })
}

#[test]
fn with_nothing_at_all_it_serves_here() {
    let config = load(&Flags::default(), &[]).unwrap();
    assert_eq!(config.listen, "127.0.0.1:5000".parse().unwrap());
    assert_eq!(config.storage.root, Path::new("pakhuis-data"));
    assert_eq!(config.auth.htpasswd, Some(PathBuf::from("pakhuis-htpasswd")));
    assert_eq!(config.certificates, Certificates::Made { directory: "certs".into() });
    assert!(config.settings.iter().all(|setting| setting.source == Source::Default));
}

#[test]
fn flag_over_environment_over_file_over_default() {
    let (_directory, mut flags) = written("[server]\nlisten = \"127.0.0.1:1\"\n");
    let listen = |config: Config| {
        let setting = config.settings.into_iter().find(|setting| setting.key == "server.listen").unwrap();
        (config.listen.port(), setting.source)
    };
    assert_eq!(listen(load(&flags, &[]).unwrap()), (1, Source::File));
    let environment = [("PAKHUIS_LISTEN", "127.0.0.1:2")];
    assert_eq!(listen(load(&flags, &environment).unwrap()), (2, Source::Environment("PAKHUIS_LISTEN")));
    flags.listen = Some("127.0.0.1:3".to_owned());
    assert_eq!(listen(load(&flags, &environment).unwrap()), (3, Source::Flag));
}

#[test]
fn paths_of_the_file_are_relative_to_the_file() {
    let (directory, flags) = written("[storage]\nroot = \"data\"\n[auth]\nhtpasswd = \"/etc/htpasswd\"\n");
    let config = load(&flags, &[]).unwrap();
    assert_eq!(config.storage.root, directory.path().join("data"));
    assert_eq!(config.auth.htpasswd, Some(PathBuf::from("/etc/htpasswd")));
}

#[test]
fn what_is_wrong_is_named() {
    let (_directory, flags) = written("[server]\nlisten = 5000\n");
    assert!(load(&flags, &[]).unwrap_err().to_string().contains("line 2"));
    let (_directory, flags) = written("[server]\nport = 5000\n");
    let unknown = load(&flags, &[]).unwrap_err().to_string();
    assert!(unknown.contains("unknown field `port`") && unknown.contains("listen"), "{unknown}");
    let (_directory, flags) = written("[server]\nlisten = \"here\"\n");
    let value = load(&flags, &[]).unwrap_err().to_string();
    assert_eq!(value, "server.listen (file): \"here\" is no address and port, such as 0.0.0.0:5000");
    let (_directory, flags) = written("[server]\ndrain_deadline = \"soon\"\n");
    assert!(load(&flags, &[]).unwrap_err().to_string().contains("time span"));
    let (_directory, flags) = written("[registry]\nmanifest_size_limit = 1000\n");
    assert!(load(&flags, &[]).unwrap_err().to_string().contains("4194304"));
    let absent = Flags { config: Some("absent/pakhuis.toml".into()), ..Flags::default() };
    assert!(load(&absent, &[]).unwrap_err().to_string().contains("cannot read"));
}

#[test]
fn contradictions_are_refused() {
    let no_tls = Flags { no_tls: true, tls_cert: Some("a".into()), ..Flags::default() };
    assert!(matches!(load(&no_tls, &[]), Err(ConfigError::Contradiction(_))));
    let half = Flags { tls_cert: Some("a".into()), ..Flags::default() };
    assert!(matches!(load(&half, &[]), Err(ConfigError::Contradiction(_))));
    let no_auth = Flags { no_auth: true, ..Flags::default() };
    assert_eq!(load(&no_auth, &[]).unwrap().auth.htpasswd, None);
    assert_eq!(load(&Flags::default(), &[("PAKHUIS_NO_AUTH", "true")]).unwrap().auth.htpasswd, None);
    assert!(load(&Flags::default(), &[("PAKHUIS_NO_TLS", "maybe")]).is_err());
}

#[test]
fn the_example_for_production_is_what_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/pakhuis.toml");
    let flags = Flags { config: Some(path.clone()), ..Flags::default() };
    let config = load(&flags, &[]).unwrap();
    assert_eq!(config.listen, "0.0.0.0:5000".parse().unwrap());
    assert_eq!(config.storage.root, Path::new("/mnt/docker/registry"));
    assert_eq!(config.auth.htpasswd, Some("/etc/pakhuis/htpasswd".into()));
    let certificates = Certificates::Files {
        certificate: "/etc/pakhuis/certs/server.crt".into(),
        private_key: "/etc/pakhuis/certs/server.key".into(),
    };
    assert_eq!(config.certificates, certificates);
    assert_eq!(config.external_host.as_deref(), Some("docker-registry.dccn.nl:5000"));
    // Every key there is stands in it, in force or commented out, with a comment above it.
    let text = std::fs::read_to_string(path).unwrap();
    for setting in &config.settings {
        let (section, key) = setting.key.split_once('.').unwrap();
        assert!(text.contains(&format!("[{section}]")), "[{section}]");
        let line =
            text.lines().position(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
        let line = line.unwrap_or_else(|| panic!("{} is not in the example", setting.key));
        assert!(text.lines().nth(line - 1).unwrap().starts_with('#'), "{} has no comment", setting.key);
    }
}

#[test]
fn bytes_are_written_with_a_unit_and_metrics_are_off_unless_set() {
    let config = load(&Flags::default(), &[]).unwrap();
    assert_eq!((config.storage.keep_free, config.metrics_listen), (64 << 20, None));
    for (text, bytes) in [("1000", 1000), ("20MB", 20_000_000), ("2 GiB", 2 << 30), ("0", 0)] {
        let (_directory, flags) = written(&format!("[storage]\nkeep_free = \"{text}\"\n"));
        assert_eq!(load(&flags, &[]).unwrap().storage.keep_free, bytes);
    }
    let (_directory, flags) = written("[storage]\nkeep_free = \"much\"\n");
    assert!(load(&flags, &[]).unwrap_err().to_string().contains("storage.keep_free"));
    let metrics = load(&Flags::default(), &[("PAKHUIS_METRICS_LISTEN", "127.0.0.1:9090")]).unwrap();
    assert_eq!(metrics.metrics_listen, Some("127.0.0.1:9090".parse().unwrap()));
    assert!(load(&Flags::default(), &[("PAKHUIS_METRICS_LISTEN", "9090")]).is_err());
}

#[test]
fn targets_of_events_need_a_queue_a_name_and_a_url_without_a_password() {
    let target =
        "[events]\nqueue = \"queue\"\n[[events.target]]\nname = \"ci\"\nurl = \"https://ci.example/hook\"\n";
    let (directory, flags) = written(&format!("{target}secret_file = \"secret\"\nactions = [\"pull\"]\n"));
    let events = load(&flags, &[]).unwrap().events.unwrap();
    assert_eq!(events.queue, directory.path().join("queue"));
    assert_eq!(events.targets[0].secret_file, Some(directory.path().join("secret")));
    assert_eq!(events.targets[0].actions, [crate::events::Action::Pull]);
    for (from, to, said) in [
        ("queue = \"queue\"", "", "events.queue"),
        ("\"ci\"", "\"../ci\"", "events.target.name"),
        ("https://ci", "ftp://ci", "events.target.url"),
        ("https://ci", "https://user:hush@ci", "events.target.url"),
        // The parser shows the line that it does not understand.
        ("https://ci", "https://user:hush@\\ci", "line 5"),
        ("url =", "hook = \"hush\"\nurl =", "unknown field `hook`"),
    ] {
        let (_directory, flags) = written(&target.replace(from, to));
        let error = load(&flags, &[]).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains("hush"), "{error}");
    }
    let (_directory, flags) = written(&target.replace("/hook", "/hook?token=hush"));
    let settings = load(&flags, &[]).unwrap().settings;
    let shown = settings.iter().find(|setting| setting.key == "events.target").unwrap();
    assert_eq!(shown.value, "ci https://ci.example/hook?...");
    let twice = format!("{target}{}", target.split_once("queue\"\n").unwrap().1);
    let (_directory, flags) = written(&twice);
    assert!(load(&flags, &[]).unwrap_err().to_string().contains("no other target has"));
    assert!(load(&Flags::default(), &[]).unwrap().events.is_none());
}
