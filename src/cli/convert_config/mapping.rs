//! What each setting of registry:2 becomes.

use super::written::Written;

/// The result.
#[derive(Debug)]
pub(super) struct Conversion {
    /// Our configuration, with what is not converted as comments.
    pub(super) toml: String,
    /// Keys and why.
    pub(super) without_equivalent: Vec<String>,
}

/// What registry:2 needs and Pakhuis does not.
const NOT_NEEDED: [(&str, &str); 13] = [
    ("version", "of registry:2's own file"),
    ("http.secret", "uploads need no secret that servers share"),
    ("http.relativeurls", "answers are always relative"),
    ("http.headers.x-content-type-options", "always sent"),
    ("storage.cache", "what is kept in memory needs no setting"),
    ("storage.redirect", "a file system has nothing to redirect to"),
    ("storage.filesystem.maxthreads", "calls on the volume are bounded by themselves"),
    ("storage.tag", "tags are not read one by one"),
    ("redis", "no cache outside of the process"),
    ("health", "/healthz and /readyz are always there"),
    ("auth.htpasswd.realm", "the realm is Pakhuis"),
    ("http.debug.prometheus.path", "it is /metrics"),
    ("notifications.events", "references are not part of an event"),
];

/// What some that have none would have meant.
const WITHOUT: [(&str, &str); 10] = [
    ("storage.maintenance.uploadpurging", "abandoned uploads are found by pakhuis verify and not yet purged"),
    ("storage.maintenance.readonly", "there is no read-only switch; mount the volume read-only"),
    ("auth.token", "users are those of an htpasswd file"),
    ("auth.silly", "users are those of an htpasswd file"),
    ("proxy", "it is no pull-through cache"),
    ("http.tls.letsencrypt", "certificates are files; another program may renew them"),
    ("http.tls.clientcas", "clients are not asked for certificates"),
    ("http.prefix", "the API is at /v2/"),
    ("http.headers", "other headers are not added"),
    ("middleware", "there is none"),
];

/// Converts all of it.
pub(super) fn convert(mut written: Written) -> Conversion {
    let mut toml = String::from(
        "# Converted from the configuration of registry:2 by `pakhuis convert-config`. Paths are as they were there: in a\n\
         # container they are those inside of it. config/pakhuis.toml explains every key.\n",
    );
    let mut without = Vec::new();
    let mut comments = Vec::new();
    for (key, why) in NOT_NEEDED {
        for (key, _) in written.take_below(key) {
            comments.push(format!("# not needed: {key}: {why}\n"));
        }
    }
    let sections = [
        server(&mut written),
        storage(&mut written, &mut without),
        auth(&mut written),
        tls(&mut written, &mut without),
        registry(&mut written),
        ui(&mut written),
        metrics(&mut written),
        log(&mut written, &mut without),
        events(&mut written, &mut without),
    ];
    for section in sections {
        toml.push_str(&section);
    }
    for key in written.into_keys() {
        let known = WITHOUT.iter().find(|(prefix, _)| key.starts_with(prefix));
        let why = known.map_or("not known here", |(_, why)| why);
        without.push(format!("{key}: {why}"));
    }
    comments.extend(without.iter().map(|line| format!("# no equivalent: {line}\n")));
    if !comments.is_empty() {
        toml.push('\n');
        toml.extend(comments);
    }
    Conversion { toml, without_equivalent: without }
}

/// A section with those of its keys that are set.
fn section(name: &str, keys: &[(&str, Option<String>)]) -> String {
    let lines: Vec<String> =
        keys.iter().filter_map(|(key, value)| Some(format!("{key} = {}\n", value.as_ref()?))).collect();
    if lines.is_empty() { String::new() } else { format!("\n{name}\n{}", lines.concat()) }
}

/// A string of TOML: what JSON writes is one too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn server(written: &mut Written) -> String {
    // Go listens on all addresses of both kinds where none is named.
    let listen = written.take("http.addr").map_or("[::]:5000".to_owned(), |addr| {
        addr.strip_prefix(':').map_or(addr.clone(), |port| format!("[::]:{port}"))
    });
    if written.take("http.net").is_some_and(|net| net == "unix") {
        return format!(
            "\n# no equivalent: http.net unix: name an address\n[server]\nlisten = {}\n",
            quoted(&listen)
        );
    }
    let drain = written.take("http.draintimeout").and_then(|text| seconds(&text));
    section("[server]", &[("listen", Some(quoted(&listen))), ("drain_deadline", drain.map(|s| quoted(&s)))])
}

fn storage(written: &mut Written, without: &mut Vec<String>) -> String {
    let root = written.take("storage.filesystem.rootdirectory");
    written.take("storage.filesystem");
    for driver in ["s3", "azure", "gcs", "swift", "oss", "inmemory"] {
        if !written.take_below(&format!("storage.{driver}")).is_empty() {
            without.push(format!("storage.{driver}: images lie on a file system; copy them there first"));
        }
    }
    let root = root.unwrap_or_else(|| "/var/lib/registry".to_owned());
    section("[storage]", &[("root", Some(quoted(&root)))])
}

fn auth(written: &mut Written) -> String {
    let path = written.take("auth.htpasswd.path");
    written.take("auth.htpasswd");
    match path {
        Some(path) => section("[auth]", &[("htpasswd", Some(quoted(&path)))]),
        // Somebody who signs in by tokens must not find the door open.
        None if written.has_below("auth") => section("[auth]", &[("enabled", Some("true".to_owned()))]),
        None => section("[auth]", &[("enabled", Some("false".to_owned()))]),
    }
}

fn tls(written: &mut Written, without: &mut Vec<String>) -> String {
    let (certificate, key) = (written.take("http.tls.certificate"), written.take("http.tls.key"));
    if written.take("http.tls.minimumtls").is_some_and(|version| version.contains("1.3")) {
        without.push("http.tls.minimumtls: TLS 1.2 and 1.3 are spoken".to_owned());
    }
    if !written.take_below("http.tls.ciphersuites").is_empty() {
        without.push("http.tls.ciphersuites: those of rustls are used".to_owned());
    }
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            section("[tls]", &[("certificate", Some(quoted(&certificate))), ("key", Some(quoted(&key)))])
        }
        _ if written.has_below("http.tls") => String::new(),
        _ => section("[tls]", &[("enabled", Some("false".to_owned()))]),
    }
}

fn registry(written: &mut Written) -> String {
    // registry:2 does not delete unless told to.
    let delete = written.take_switch("storage.delete.enabled").unwrap_or(false);
    let sparse = written
        .take("validation.manifests.indexes.platforms")
        .filter(|platforms| platforms == "none" || platforms == "list")
        .map(|_| "true".to_owned());
    section("[registry]", &[("delete_enabled", Some(delete.to_string())), ("sparse_manifests", sparse)])
}

fn ui(written: &mut Written) -> String {
    let host = written.take("http.host").map(|url| {
        let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
        quoted(host.trim_end_matches('/'))
    });
    section("[ui]", &[("external_host", host)])
}

fn metrics(written: &mut Written) -> String {
    let enabled = written.take_switch("http.debug.prometheus.enabled").unwrap_or(false);
    let address = written.take("http.debug.addr");
    let listen = address
        .filter(|_| enabled)
        .map(|addr| quoted(&addr.strip_prefix(':').map_or(addr.clone(), |port| format!("[::]:{port}"))));
    section("[metrics]", &[("listen", listen)])
}

fn log(written: &mut Written, without: &mut Vec<String>) -> String {
    let level = written.take("log.level").or_else(|| written.take("loglevel"));
    let level = level.map(|level| match level.as_str() {
        "panic" | "fatal" => "error".to_owned(),
        "warning" => "warn".to_owned(),
        _ => level,
    });
    let quiet = written.take_switch("log.accesslog.disabled").unwrap_or(false);
    let level = match (level, quiet) {
        (level, true) => {
            Some(format!("{},pakhuis::request=warn", level.unwrap_or_else(|| "info".to_owned())))
        }
        (level, false) => level,
    };
    let format = written.take("log.formatter").map(|formatter| match formatter.as_str() {
        "json" | "logstash" => "json",
        _ => "text",
    });
    for (key, _) in written.take_below("log") {
        without.push(format!("{key}: fields and hooks of the log are not configured"));
    }
    section("[log]", &[("format", format.map(quoted)), ("level", level.map(|level| quoted(&level)))])
}

fn events(written: &mut Written, without: &mut Vec<String>) -> String {
    let mut toml = String::new();
    for number in 0.. {
        let prefix = format!("notifications.endpoints.{number}");
        if !written.has_below(&prefix) {
            break;
        }
        let disabled = written.take_switch(&format!("{prefix}.disabled")).unwrap_or(false);
        let mut take = |key: &str| written.take(&format!("{prefix}.{key}"));
        let name = take("name").unwrap_or_else(|| format!("endpoint-{number}"));
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
        let url = take("url").map(|url| without_user(&url, &prefix, without));
        let timeout = take("timeout").and_then(|text| seconds(&text));
        let pause = take("backoff").and_then(|text| seconds(&text));
        take("threshold");
        let ignored = written.take_below(&format!("{prefix}.ignore.actions"));
        let actions: Vec<String> = ["push", "pull", "mount", "delete"]
            .into_iter()
            .filter(|action| !ignored.iter().any(|(_, ignored)| ignored == action))
            .map(quoted)
            .collect();
        let mut types = written.take_below(&format!("{prefix}.ignore.mediatypes"));
        types.extend(written.take_below(&format!("{prefix}.ignoredmediatypes")));
        let blobs = !types.iter().any(|(_, media_type)| media_type == "application/octet-stream");
        if !written.take_below(&format!("{prefix}.headers")).is_empty() {
            without.push(format!(
                "{prefix}.headers: requests are signed instead; give the target a secret_file"
            ));
        }
        let (Some(url), false) = (url, disabled) else { continue };
        toml.push_str(&section(
            "[[events.target]]",
            &[
                ("name", Some(quoted(&name))),
                ("url", Some(quoted(&url))),
                ("actions", Some(format!("[{}]", actions.join(", ")))),
                ("blobs", Some(blobs.to_string())),
                ("timeout", timeout.map(|s| quoted(&s))),
                ("longest_pause", pause.map(|s| quoted(&s))),
            ],
        ));
    }
    if toml.is_empty() {
        return toml;
    }
    format!("\n[events]\nqueue = \"/var/lib/pakhuis/events\"\n{toml}")
}

/// A URL without the user and the password that registry:2 takes from it.
fn without_user(url: &str, prefix: &str, without: &mut Vec<String>) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some(at) = rest[..authority].rfind('@') else { return url.to_owned() };
    without.push(format!(
        "{prefix}.url: its user and password are left out; requests are signed instead: give the target a secret_file"
    ));
    format!("{scheme}://{}", &rest[at + 1..])
}

/// A duration of Go, rounded up to seconds: `1m30s`, `500ms`, or nanoseconds without a unit.
fn seconds(text: &str) -> Option<String> {
    let mut milliseconds = 0.0;
    let mut rest = text.trim();
    if let Ok(nanoseconds) = rest.parse::<u64>() {
        return Some(format!("{}s", nanoseconds.div_ceil(1_000_000_000).max(1)));
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        milliseconds += number
            * match &rest[..unit] {
                "ns" | "us" | "µs" => 0.001,
                "ms" => 1.0,
                "s" => 1000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded, and never negative"
    )]
    let whole = (milliseconds / 1000.0).ceil().max(1.0) as u64;
    Some(format!("{whole}s"))
}
