//! Addresses: of this server as its clients write it, of pages, and what in a request's address is meant.

use http::{HeaderMap, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::oci::{Reference, RepositoryName};

/// The first page.
pub(super) const CATALOGUE: &str = "/ui/";

/// What follows `/ui/r/`: the image reference itself, since a name has no `:` or `@` and a tag no `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A repository, or the path above some.
    Repository(RepositoryName),
    /// A manifest by tag or digest.
    Image(RepositoryName, Reference),
}

impl Target {
    /// Reads `name`, `name:tag` or `name@digest`; `None` when it is none of these.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some((name, digest)) = text.split_once('@') {
            return Some(Self::Image(name.parse().ok()?, Reference::Digest(digest.parse().ok()?)));
        }
        if let Some((name, tag)) = text.split_once(':') {
            return Some(Self::Image(name.parse().ok()?, Reference::Tag(tag.parse().ok()?)));
        }
        text.strip_suffix('/').unwrap_or(text).parse().ok().map(Self::Repository)
    }

    /// The page's path.
    pub(super) fn path(&self) -> String {
        format!("/ui/r/{}", self.text())
    }

    /// The reference as clients write it, without the host.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Repository(name) => name.to_string(),
            Self::Image(name, reference) => image(name, reference),
        }
    }
}

/// `name:tag` or `name@digest`.
pub(super) fn image(name: &RepositoryName, reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => format!("{name}:{tag}"),
        Reference::Digest(digest) => format!("{name}@{digest}"),
    }
}

/// What the path of a request means as an image reference, when someone pastes `host/name:tag` into a browser.
pub(super) fn pasted_reference(path: &str) -> Option<Target> {
    const OURS: [&str; 5] = ["v2", "ui", "healthz", "readyz", "metrics"];
    let decoded = percent_decode_str(path.strip_prefix('/')?).decode_utf8().ok()?;
    let first = decoded.split(['/', ':', '@']).next().unwrap_or_default();
    if OURS.contains(&first) { None } else { Target::parse(&decoded) }
}

/// `path?a=b&c=d`, empty values left out.
pub(super) fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'/');
    let mut address = path.to_owned();
    let mut separator = '?';
    for (key, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        address.push(separator);
        address.push_str(key);
        address.push('=');
        address.extend(utf8_percent_encode(value, KEPT));
        separator = '&';
    }
    address
}

/// Where to go after signing in: `next` when it is one of our pages, the catalogue for anything else.
///
/// Browsers read `\` as `/`, drop tabs and line ends, and take `//host` for another server; `..` is resolved
/// before the request is sent.
pub(super) fn safe_next(next: &str) -> &str {
    let bad = |char: char| char.is_control() || char.is_whitespace() || char == '\\' || !char.is_ascii();
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let leaves = path.split('/').any(|segment| {
        let segment = percent_decode_str(segment).decode_utf8_lossy();
        segment == ".." || segment == "." || segment.contains(['/', '\\'])
    });
    if next.len() <= 2048
        && next.starts_with(CATALOGUE)
        && !next.contains("//")
        && !next.contains(bad)
        && !leaves
        && path != "/ui/login"
        && path != "/ui/logout"
    {
        next
    } else {
        CATALOGUE
    }
}

/// The host and port that clients use for this server: as configured, else as this request has it, else the
/// port we listen on.
pub(super) fn host(configured: Option<&str>, uri: &Uri, headers: &HeaderMap, listen_port: u16) -> String {
    let header = || headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let requested = uri.authority().map(|authority| authority.as_str()).or_else(header);
    match configured.or_else(|| requested.filter(|host| is_host(host))) {
        Some(host) => host.to_owned(),
        None => format!("localhost:{listen_port}"),
    }
}

/// Whether `text` is `host` or `host:port`. It ends up in commands that people paste into a shell.
pub(super) fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_is_right = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    port_is_right
        && host.len() <= 253
        && match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => host.split('.').all(label),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_reference_is_the_address() {
        for text in ["team/app", "team/app:v1.2", "a:1", &format!("team/app@{DIGEST}")] {
            let target = Target::parse(text).expect("a reference");
            assert_eq!(target.text(), text);
            assert_eq!(target.path(), format!("/ui/r/{text}"));
        }
        assert_eq!(Target::parse("team/app/"), Target::parse("team/app"));
        for text in ["", "/", "..", "a/../b", "A", "a:", "a:b:c", "a@b", ":x", "a b", "a:b/c", "@", "é"] {
            assert_eq!(Target::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_pasted_reference_is_not_one_of_our_own_paths() {
        assert!(pasted_reference("/team/app:v1").is_some());
        assert!(pasted_reference("/team/app%3Av1").is_some());
        assert!(pasted_reference("/v2x/app").is_some());
        for path in
            ["/", "/v2", "/v2/", "/v2/team/app", "/ui/x", "/metrics", "/v2:x", "//evil", "/a/%2e%2e/b"]
        {
            assert_eq!(pasted_reference(path), None, "{path}");
        }
    }

    #[test]
    fn next_never_leaves_our_pages() {
        for next in ["/ui/", "/ui/r/team/app:v1?platform=linux%2Farm64", "/ui/?q=a&last=b", "/ui/help#login"]
        {
            assert_eq!(safe_next(next), next);
        }
        let long = format!("/ui/?q={}", "a".repeat(3000));
        for next in [
            "",
            "/",
            "ui/",
            "/v2/",
            "//evil.example",
            "/ui//evil.example",
            "https://evil.example/ui/",
            "/ui/\\evil",
            "\\ui\\",
            "/ui/\n",
            "/ui/\t/x",
            "/ui/\r\nSet-Cookie: a=b",
            "/ui/ x",
            "/uix",
            "/ui/../v2/",
            "/ui/%2e%2e/v2/",
            "/ui/%2E./v2",
            "/ui/.%2e%2fv2",
            "/ui/%5c..",
            "javascript:alert(1)",
            "/ui/?next=//evil",
            "/ui/\u{202e}",
            "/ui/login",
            "/ui/login?next=/ui/",
            "/ui/logout",
            &long,
        ] {
            assert_eq!(safe_next(next), CATALOGUE, "{next:?}");
        }
    }

    #[test]
    fn hosts() {
        for host in
            ["localhost", "docker-registry.dccn.nl:5000", "10.0.0.1:5000", "[::1]:5000", "[fe80::1]", "a"]
        {
            assert!(is_host(host), "{host:?}");
        }
        let long = "a.".repeat(200);
        for host in [
            "",
            ":",
            ":5000",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:5000:5000",
            "a b",
            "a;reboot",
            "$(reboot)",
            "a/b",
            "a@b",
            "`a`",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a\n",
            "[::1",
            "::1",
            "[x]",
            "<b>",
            "é",
            "a_b",
            &long,
        ] {
            assert!(!is_host(host), "{host:?}");
        }
    }

    #[test]
    fn the_host_is_configured_or_asked_for_or_ours() {
        let mut headers = HeaderMap::new();
        let plain = Uri::from_static("/ui/");
        assert_eq!(host(None, &plain, &headers, 5000), "localhost:5000");
        headers.insert(header::HOST, http::HeaderValue::from_static("registry.example:5000"));
        assert_eq!(host(None, &plain, &headers, 1), "registry.example:5000");
        assert_eq!(host(Some("a.example"), &plain, &headers, 1), "a.example");
        let absolute = Uri::from_static("https://b.example:7/ui/");
        assert_eq!(host(None, &absolute, &headers, 1), "b.example:7");
        headers.insert(header::HOST, http::HeaderValue::from_static("a.example;reboot"));
        assert_eq!(host(None, &plain, &headers, 5000), "localhost:5000");
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(with_query("/ui/", &[("q", ""), ("last", "")]), "/ui/");
        assert_eq!(
            with_query("/ui/", &[("q", "a b&c=\"<é>"), ("last", "x/y")]),
            "/ui/?q=a%20b%26c%3D%22%3C%C3%A9%3E&last=x/y"
        );
    }
}
