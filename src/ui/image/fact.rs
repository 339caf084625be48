//! Facts on a page: a name and a value, and what to make of the value.

use super::secrets::looks_secret;

/// A name, a value, where it leads when that is on the web, and what to heed.
pub(in crate::ui) struct Fact {
    pub(in crate::ui) name: String,
    pub(in crate::ui) value: String,
    pub(in crate::ui) href: Option<String>,
    pub(in crate::ui) flag: Option<&'static str>,
}

impl Fact {
    pub(super) fn new(name: &str, value: &str) -> Option<Self> {
        let flag = None;
        (!value.is_empty()).then(|| Self { name: name.to_owned(), value: value.to_owned(), href: None, flag })
    }

    /// A variable of the environment.
    pub(super) fn of_variable(variable: &str) -> Self {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        Self { href: None, ..Self::of_pair(&(name.to_owned(), value.to_owned())) }
    }

    /// A label or annotation; it becomes a link only if it is an address on the web.
    pub(in crate::ui) fn of_pair((name, value): &(String, String)) -> Self {
        let flag = looks_secret(name, value).then_some("looks like a secret");
        Self { name: name.clone(), value: value.clone(), href: web_address(value).map(str::to_owned), flag }
    }
}

/// `value` when a browser would go to just what is shown, on the web.
fn web_address(value: &str) -> Option<&str> {
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"))?;
    let plain =
        rest.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'));
    // A name before an @ is made to look like the host.
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    (plain && !host.is_empty() && !host.contains('@')).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_on_the_web_become_links() {
        for value in ["https://github.com/a/b", "http://example.org/?q=1#x"] {
            assert_eq!(web_address(value), Some(value));
        }
        for value in [
            "javascript:alert(1)",
            "data:text/html,x",
            "//evil.example",
            "HTTPS://x",
            " https://x",
            "https://",
            "https://a b",
            "https://good.example@evil.example/",
            "https://x\u{202e}",
            "https://x\\y",
            "https://x\"onclick=",
            "vbscript:x",
            "",
        ] {
            assert_eq!(web_address(value), None, "{value:?}");
        }
    }
}
