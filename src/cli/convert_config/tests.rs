//! Configurations as they are found, and what becomes of them.

use super::*;
use crate::config::{Certificates, Config, Flags};

/// A configuration with a little of everything.
const FULL: &str = r#"
version: 0.1
log:
  level: debug
  formatter: json
  accesslog:
    disabled: true
  fields:
    service: registry
storage:
  filesystem:
    rootdirectory: /mnt/docker/registry
    maxthreads: 100
  delete:
    enabled: true
  cache:
    blobdescriptor: inmemory
  maintenance:
    uploadpurging:
      enabled: true
      age: 168h
auth:
  htpasswd:
    realm: Registry
    path: /auth/htpasswd
http:
  addr: :5000
  host: https://docker-registry.dccn.nl:5000/
  secret: a-secret-of-registry-2
  draintimeout: 1m30s
  headers:
    X-Content-Type-Options: [nosniff]
    X-Other: [value]
  tls:
    certificate: /certs/server.crt
    key: /certs/server.key
  debug:
    addr: :5001
    prometheus:
      enabled: true
      path: /metrics
notifications:
  endpoints:
    - name: ci server
      url: https://registry:a-third-secret@ci.dccn.nl/hook
      headers:
        Authorization: [Bearer another-secret]
      timeout: 500ms
      threshold: 5
      backoff: 10s
      ignore:
        mediatypes: [application/octet-stream]
        actions: [pull]
"#;

fn conversion(yaml: &str, environment: &[(&str, &str)]) -> Conversion {
    let variables = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    convert(Written::read(yaml, variables).unwrap())
}

/// What the server makes of the result.
fn loaded(conversion: &Conversion) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pakhuis.toml");
    #[expect(clippy::disallowed_methods, reason = "a file of the test")]
    std::fs::write(&path, &conversion.toml).unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    Config::load(&flags, &|_| None).unwrap_or_else(|error| panic!("{error}\n{}", conversion.toml))
}

#[test]
fn a_whole_configuration_means_the_same_afterwards() {
    let conversion = conversion(FULL, &[]);
    let config = loaded(&conversion);
    assert_eq!(config.listen, "[::]:5000".parse().unwrap());
    assert_eq!(config.storage.root, std::path::Path::new("/mnt/docker/registry"));
    assert_eq!(config.auth.htpasswd, Some("/auth/htpasswd".into()));
    assert_eq!(
        config.certificates,
        Certificates::Files {
            certificate: "/certs/server.crt".into(),
            private_key: "/certs/server.key".into()
        }
    );
    assert!(config.registry.delete_enabled);
    assert_eq!(config.external_host.as_deref(), Some("docker-registry.dccn.nl:5000"));
    assert_eq!(config.metrics_listen, Some("[::]:5001".parse().unwrap()));
    assert_eq!(config.log.level, "debug,pakhuis::request=warn");
    assert_eq!(config.server.drain_deadline.as_secs(), 90);
    let events = config.events.unwrap();
    let target = &events.targets[0];
    assert_eq!((target.name.as_str(), target.timeout.as_secs(), target.blobs), ("ci-server", 1, false));
    assert_eq!(target.actions.len(), 3, "all but pull");
    assert_eq!(target.url, "https://ci.dccn.nl/hook");

    let named = |part: &str| conversion.without_equivalent.iter().any(|line| line.starts_with(part));
    for part in [
        "log.fields.service",
        "storage.maintenance.uploadpurging.enabled",
        "http.headers.x-other",
        "notifications.endpoints.0.headers",
        "notifications.endpoints.0.url",
    ] {
        assert!(named(part), "{part} is not in {:#?}", conversion.without_equivalent);
        assert!(conversion.toml.contains(&format!("# no equivalent: {part}")));
    }
    assert!(conversion.toml.contains("# not needed: http.secret:"));
    let everything = format!("{conversion:?}");
    for secret in ["a-secret-of", "another-secret", "a-third-secret"] {
        assert!(!everything.contains(secret), "{everything}");
    }
}

#[test]
fn the_environment_wins_over_the_file_and_is_enough() {
    let environment = [
        ("REGISTRY_HTTP_ADDR", "0.0.0.0:443"),
        ("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/data"),
        ("REGISTRY_STORAGE_DELETE_ENABLED", "false"),
        ("REGISTRY_AUTH", "htpasswd"),
        ("REGISTRY_AUTH_HTPASSWD_PATH", "/users"),
        ("REGISTRY_AUTH_HTPASSWD_REALM", "basic-realm"),
        ("REGISTRY_HTTP_TLS_CERTIFICATE", "/c.crt"),
        ("REGISTRY_HTTP_TLS_KEY", "/c.key"),
        ("PATH", "/usr/bin"),
    ];
    for yaml in [FULL, ""] {
        let conversion = conversion(yaml, &environment);
        let config = loaded(&conversion);
        assert_eq!(config.listen, "0.0.0.0:443".parse().unwrap());
        assert_eq!(config.storage.root, std::path::Path::new("/data"));
        assert_eq!(config.auth.htpasswd, Some("/users".into()));
        assert!(!config.registry.delete_enabled);
        assert_eq!(conversion.without_equivalent.is_empty(), yaml.is_empty(), "{conversion:#?}");
    }
}

#[test]
fn defaults_of_registry_2_are_kept_where_they_differ_and_no_door_is_opened() {
    let plain = loaded(&conversion("version: 0.1\nstorage: filesystem\n", &[]));
    assert!(!plain.registry.delete_enabled, "registry:2 does not delete unless told to");
    assert_eq!(plain.certificates, Certificates::Off);
    assert_eq!(plain.auth.htpasswd, None);
    assert_eq!(plain.storage.root, std::path::Path::new("/var/lib/registry"));

    let tokens = conversion("auth:\n  token:\n    realm: https://x\nstorage:\n  s3:\n    bucket: b\n", &[]);
    assert!(loaded(&tokens).auth.htpasswd.is_some(), "sign-in stays required");
    assert!(tokens.without_equivalent.iter().any(|line| line.starts_with("auth.token")), "{tokens:#?}");
    assert!(tokens.without_equivalent.iter().any(|line| line.starts_with("storage.s3")), "{tokens:#?}");
    let anonymous = conversion("http:\n  tls:\n    letsencrypt:\n      email: a@b\n", &[]);
    assert_ne!(loaded(&anonymous).certificates, Certificates::Off, "TLS stays on");
    assert!(Written::read("a: [", std::iter::empty()).is_err());
}
