//! Precedence, paths, and what an admin reads when something is wrong.
#![allow(clippy::unwrap_used)]

use std::{collections::HashMap, ffi::OsString, fs, path::Path};

use super::*;

fn load(flags: &Flags, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    Config::load_with(flags, &|name| environment.get(name).map(OsString::from))
}

/// Loads `text` as a file in a directory of its own; the directory is named `DIR` in what comes back.
fn load_file(text: &str, flags: Flags, environment: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pakhuis.toml");
    fs::write(&path, text).unwrap();
    let anonymous = |text: String| text.replace(directory.path().to_str().unwrap(), "DIR");
    match load(&Flags { config: Some(path), ..flags }, environment) {
        Ok(config) => Ok(config.rows().iter().map(|row| anonymous(row.to_string())).collect()),
        Err(error) => Err(anonymous(error.to_string())),
    }
}

#[track_caller]
fn check(text: &str, flags: Flags, environment: &[(&str, &str)], expected: &str) {
    let rows = load_file(text, flags, environment).unwrap();
    assert!(rows.iter().any(|row| row == expected), "{expected} is not in {rows:#?}");
}

#[track_caller]
fn check_error(text: &str, environment: &[(&str, &str)], expected: &str) {
    assert_eq!(load_file(text, Flags::default(), environment).unwrap_err(), expected);
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let config = load(&Flags::default(), &[("PAKHUIS_LISTEN", "")]).unwrap();
    let rows: Vec<_> = config.rows().iter().map(ToString::to_string).collect();
    assert_eq!(
        rows[..15],
        [
            "server.listen = 127.0.0.1:5000 (default)",
            "server.max_connections = 10000 (default)",
            "server.idle_timeout = 3m (default)",
            "server.request_stall = 1m (default)",
            "server.response_stall = 2m (default)",
            "server.drain_deadline = 1m (default)",
            "storage.root = ./pakhuis-data (default)",
            "auth.enabled = true (default)",
            "auth.htpasswd = ./pakhuis-htpasswd (default)",
            "auth.bcrypt_cost = 10 (default)",
            "auth.cache_ttl = 5m (default)",
            "tls.enabled = true (default)",
            "tls.certificate = made at first start in ./pakhuis-certs (default)",
            "registry.manifest_size_limit = 4MiB (default)",
            "registry.sparse_indexes = false (default)",
        ]
    );
    assert_eq!(config.server_config(), server::Config::default());
    assert_eq!(config.log_config(), observability::Config::default());
}

#[test]
fn flag_over_environment_over_file_over_default() {
    let file = "[server]\nlisten = \"1.1.1.1:1\"\n[storage]\nroot = \"data\"\n[log]\nformat = \"text\"";
    let flags = || Flags { listen: Some("3.3.3.3:3".parse().unwrap()), ..Flags::default() };
    let environment =
        [("PAKHUIS_LISTEN", "2.2.2.2:2"), ("PAKHUIS_STORAGE", "here"), ("PAKHUIS_LOG_FORMAT", "json")];
    check("", Flags::default(), &[], "server.listen = 127.0.0.1:5000 (default)");
    check(file, Flags::default(), &[], "server.listen = 1.1.1.1:1 (DIR/pakhuis.toml)");
    check(file, Flags::default(), &environment, "server.listen = 2.2.2.2:2 (PAKHUIS_LISTEN)");
    check(file, flags(), &environment, "server.listen = 3.3.3.3:3 (--listen)");
    check(file, Flags::default(), &[], "storage.root = DIR/data (DIR/pakhuis.toml)");
    check(file, Flags::default(), &environment, "storage.root = here (PAKHUIS_STORAGE)");
    check(file, Flags::default(), &[], "log.format = text (DIR/pakhuis.toml)");
    check(file, flags(), &environment, "log.format = json (PAKHUIS_LOG_FORMAT)");
}

#[test]
fn authentication_is_decided_by_the_highest_layer_that_speaks_of_it() {
    let off = "[auth]\nenabled = false";
    let (no_auth, file_flag) = (
        || Flags { no_auth: true, ..Flags::default() },
        || Flags { htpasswd: Some("f".into()), ..Flags::default() },
    );
    check(off, Flags::default(), &[], "auth.enabled = false (DIR/pakhuis.toml)");
    check(off, Flags::default(), &[("PAKHUIS_HTPASSWD", "e")], "auth.enabled = true (PAKHUIS_HTPASSWD)");
    check(off, file_flag(), &[], "auth.enabled = true (--htpasswd)");
    check(off, Flags::default(), &[("PAKHUIS_NO_AUTH", "0")], "auth.enabled = true (PAKHUIS_NO_AUTH)");
    check("", Flags::default(), &[("PAKHUIS_NO_AUTH", "1")], "auth.enabled = false (PAKHUIS_NO_AUTH)");
    check("", file_flag(), &[("PAKHUIS_NO_AUTH", "1")], "auth.enabled = true (--htpasswd)");
    check(
        "[auth]\nhtpasswd = \"h\"",
        no_auth(),
        &[("PAKHUIS_HTPASSWD", "e")],
        "auth.enabled = false (--no-auth)",
    );
    let both = [("PAKHUIS_NO_AUTH", "yes"), ("PAKHUIS_HTPASSWD", "e")];
    check_error("", &both, "PAKHUIS_NO_AUTH: contradicts PAKHUIS_HTPASSWD: unset one of them");
}

#[test]
fn certificate_and_key_come_as_a_pair() {
    let file = "[tls]\ncertificate = \"c\"\nkey = \"k\"";
    let environment = [("PAKHUIS_TLS_CERT", "ec"), ("PAKHUIS_TLS_KEY", "ek")];
    check(file, Flags::default(), &[], "tls.key = DIR/k (DIR/pakhuis.toml)");
    check(file, Flags::default(), &environment, "tls.certificate = ec (PAKHUIS_TLS_CERT)");
    check(file, Flags::default(), &environment, "tls.key = ek (PAKHUIS_TLS_KEY)");
    check(file, Flags { no_tls: true, ..Flags::default() }, &environment, "tls.enabled = false (--no-tls)");
    check_error("[tls]\nkey = \"k\"", &[], "[tls] key: needs [tls] certificate beside it");
    check_error(file, &environment[..1], "PAKHUIS_TLS_CERT: needs PAKHUIS_TLS_KEY beside it");
}

#[test]
fn errors_say_where_and_what_to_write() {
    check_error(
        "[server]\n\nlisen = \"0.0.0.0:5000\"",
        &[],
        "DIR/pakhuis.toml:3: unknown key \"lisen\", expected one of \"listen\", \"max_connections\", \
         \"idle_timeout\", \"request_stall\", \"response_stall\", \"drain_deadline\"",
    );
    check_error(
        "[server]\nidle_timeout = \"180\"",
        &[],
        "DIR/pakhuis.toml:2: idle_timeout: \"180\" is no duration; write for example \"90s\", \"10m\", \"2h\" or \"7d\"",
    );
    check_error(
        "[server]\nlisten = \"localhost:5000\"",
        &[],
        "DIR/pakhuis.toml:2: listen: \"localhost:5000\" is no address to listen on; write an IP address and a \
         port: 0.0.0.0:5000, [::]:5000 or 127.0.0.1:5000",
    );
    check_error(
        "[registry]\nmanifest_size_limit = \"1MiB\"",
        &[],
        "DIR/pakhuis.toml: [registry] manifest_size_limit: is below what clients may rely on; write \"4MiB\" or more",
    );
    check_error(
        "[log]\nformat = \"xml\"",
        &[],
        "DIR/pakhuis.toml:2: format: \"xml\" is no log format: write auto, text or json",
    );
    check_error(
        "",
        &[("PAKHUIS_NO_TLS", "maybe")],
        "PAKHUIS_NO_TLS: \"maybe\" is neither yes nor no: write 1 or 0",
    );
    check_error(
        "",
        &[("PAKHUIS_LOG", "loud=very")],
        "PAKHUIS_LOG: \"loud=very\" is no log level: write error, warn, info, debug or trace",
    );
    check_error(
        "[ui]\nexternal_host = \"https://a/b\"",
        &[],
        "DIR/pakhuis.toml: [ui] external_host: \"https://a/b\" is no host name; write it without https:// and path: \
         registry.example.org:5000",
    );
    let missing = Flags { config: Some("/nonexistent/p.toml".into()), ..Flags::default() };
    assert_eq!(
        load(&missing, &[]).unwrap_err().to_string(),
        "cannot read the configuration file /nonexistent/p.toml"
    );
    assert!(load_file("[server", Flags::default(), &[]).unwrap_err().starts_with("DIR/pakhuis.toml:1: "));
}

#[test]
fn quantities_read_back_what_they_write() {
    for (text, seconds) in [("7d", 604_800), ("2h", 7200), ("90s", 90), ("0s", 0), ("10 m", 600)] {
        let parsed: Seconds = text.parse().unwrap();
        assert_eq!(parsed.0.as_secs(), seconds, "{text}");
        assert_eq!(parsed.to_string().parse::<Seconds>().unwrap(), parsed);
    }
    for text in ["", "s", "60", "-1s", "+1s", "1.5h", "99999999999999999999d", "9999999999999999999d", "1 s "]
    {
        assert!(text.parse::<Seconds>().is_err(), "{text}");
    }
    let size = |text: &str| text.parse::<quantity::ByteSize>().map(|size| size.0);
    assert_eq!((size("4MiB"), size("1 GiB"), size("7B")), (Ok(4 << 20), Ok(1 << 30), Ok(7)));
    assert!(size("4").is_err() && size("4MB").is_err());
}

#[test]
fn the_production_example_is_what_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/pakhuis.toml");
    let config = load(&Flags { config: Some(path.clone()), ..Flags::default() }, &[]).unwrap();
    let directory = path.parent().unwrap();
    assert_eq!(config.server.listen.value, "0.0.0.0:5000".parse().unwrap());
    assert_eq!(config.storage.root.value, Path::new("/mnt/docker/registry"));
    assert!(config.auth.enabled.value && config.tls.enabled.value && config.registry.delete_enabled.value);
    assert_eq!(config.auth.htpasswd.value, directory.join("htpasswd"));
    let files = config.tls.files.clone().unwrap();
    assert_eq!(files.certificate.value, directory.join("../certs/server.crt"));
    assert_eq!(files.key.value, directory.join("../certs/server.key"));
    assert_eq!(config.ui.external_host.value.as_deref(), Some("docker-registry.dccn.nl:5000"));
    assert_eq!(config.ui.ca_certificate.value, Some(directory.join("../certs/ca.crt")));
    // What the example spells out as defaults are the defaults.
    assert_eq!(config.server_config(), server::Config::default());
    assert_eq!(config.auth.cache_ttl.value, Duration::from_secs(300));
    // "Every key present": nothing in force comes from elsewhere, and every key has a comment above it.
    for row in config.rows() {
        assert_eq!(row.source, path.display().to_string(), "{row}");
    }
    let text = fs::read_to_string(&path).unwrap();
    let mut previous = "";
    for line in text.lines() {
        let commented =
            previous.starts_with('#') || (previous.starts_with("certificate") && line.starts_with("key"));
        assert!(!line.contains(" = ") || line.starts_with('#') || commented, "no comment above: {line}");
        previous = line;
    }
}
