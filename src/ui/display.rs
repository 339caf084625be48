//! How values look on a page: the one way text gets into HTML, and sizes, times and digests for people.

use std::{
    fmt::{self, Write},
    time::SystemTime,
};

use askama::filters::Escaper;
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

use crate::oci::Digest;

/// Escapes text for HTML, and shows the characters that hide or reorder others as `U+202E`.
///
/// `askama.toml` puts every value of every template through it, so no page can forget to: labels, history,
/// annotations and media types are written by whoever may push.
#[derive(Clone, Copy, Debug)]
pub struct Visible;

impl Escaper for Visible {
    fn write_escaped_str<W: Write>(&self, mut to: W, text: &str) -> fmt::Result {
        let (mut plain, mut at) = (0, 0);
        // Nearly all that is shown is plain ASCII, which is looked at by the byte.
        while let Some(found) = text.as_bytes()[at..].iter().position(|byte| !PLAIN[usize::from(*byte)]) {
            let here = at + found;
            let Some(char) = text[here..].chars().next() else { break };
            at = here + char.len_utf8();
            let replacement = match char {
                '<' => "&lt;",
                '>' => "&gt;",
                '&' => "&amp;",
                '"' => "&quot;",
                '\'' => "&#39;",
                _ if is_deceptive(char) => "",
                _ => continue,
            };
            to.write_str(&text[plain..here])?;
            if replacement.is_empty() {
                write!(to, "U+{:04X}", u32::from(char))?;
            } else {
                to.write_str(replacement)?;
            }
            plain = at;
        }
        to.write_str(&text[plain..])
    }
}

/// The bytes that stand for themselves: printable ASCII without what means something in HTML.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte < 0x7f {
        plain[byte as usize] = !matches!(byte, b'<' | b'>' | b'&' | b'"' | b'\'');
        byte += 1;
    }
    plain[b'\n' as usize] = true;
    plain[b'\t' as usize] = true;
    plain
};

/// Control characters, and those of Unicode that reorder text or have no width (Trojan Source, CVE-2021-42574).
/// The joiners U+200C and U+200D stay: scripts and emoji need them.
fn is_deceptive(char: char) -> bool {
    (char.is_control() && !matches!(char, '\n' | '\t'))
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}'
            | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// A number of things: `1 tag`, `2 tags`.
pub(super) fn counted<N: Copy + fmt::Display + PartialEq + From<u8>>(
    count: N,
    one: &str,
    many: &str,
) -> String {
    format!("{count} {}", if count == N::from(1) { one } else { many })
}

/// A size for people: three figures, powers of 1000 as `docker images` has them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 0;
    let mut scaled = bytes as f64;
    // 999.5 would be written as 1000.
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || scaled >= 99.95 { 0 } else { 1 };
    format!("{scaled:.decimals$} {}", UNITS[unit])
}

/// A smallest and a largest size; `None` when they read the same.
pub(super) fn size_range(range: Option<(u64, u64)>) -> Option<(String, String)> {
    let (low, high) = range?;
    Some((size(low), size(high))).filter(|(low, high)| low != high)
}

/// A moment, for machines and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// RFC 3339, for `<time datetime>`.
    pub(super) machine: String,
    /// To the minute, UTC.
    pub(super) shown: String,
}

impl Moment {
    /// `None` when the year has more than four digits.
    pub(super) fn new(time: OffsetDateTime) -> Option<Self> {
        let time = time.to_offset(time::UtcOffset::UTC);
        Some(Self {
            machine: time.format(&Rfc3339).ok()?,
            shown: time.format(format_description!("[year]-[month]-[day] [hour]:[minute]")).ok()?,
        })
    }

    /// As [`Moment::new`], from milliseconds since 1970.
    pub(super) fn of_milliseconds(at: i64) -> Option<Self> {
        OffsetDateTime::from_unix_timestamp(at.div_euclid(1000)).ok().and_then(Self::new)
    }

    /// As [`Moment::new`].
    pub(super) fn of_system(time: SystemTime) -> Option<Self> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let seconds = i64::try_from(since.as_secs()).ok()?;
        OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(Self::new)
    }
}

/// A digest, short for the eye and whole for the clipboard.
#[derive(Clone, Debug)]
pub(super) struct ShownDigest {
    /// `sha256:` and all of it.
    pub(super) full: String,
    /// The first 12 characters of the hexadecimal part.
    pub(super) short: String,
}

impl ShownDigest {
    pub(super) fn new(digest: &Digest) -> Self {
        Self { full: digest.to_string(), short: digest.encoded()[..12].to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut written = String::new();
        Visible.write_escaped_str(&mut written, text).expect("a String takes everything");
        written
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<img src=x onerror='a'>&\""), "&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;");
        assert_eq!(escaped("héllo\n\tworld 👩\u{200d}🔬"), "héllo\n\tworld 👩\u{200d}🔬");
    }

    #[test]
    fn text_cannot_hide() {
        assert_eq!(escaped("a\u{202e}b\u{0}c\u{1b}[31m"), "aU+202EbU+0000cU+001B[31m");
        assert_eq!(escaped("\u{feff}\u{2066}\u{200b}\u{e0041}\r"), "U+FEFFU+2066U+200BU+E0041U+000D");
    }

    #[test]
    fn numbers_of_things() {
        let tags = |count: usize| counted(count, "tag", "tags");
        assert_eq!([tags(0), tags(1), tags(2)], ["0 tags", "1 tag", "2 tags"]);
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (99_940, "99.9 kB"),
            (99_960, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (3_100_000_000, "3.1 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn moments() {
        let time = OffsetDateTime::parse("2026-01-02T03:04:05+02:00", &Rfc3339).expect("a time");
        let moment = Moment::new(time).expect("a year of four digits");
        assert_eq!((&*moment.machine, &*moment.shown), ("2026-01-02T01:04:05Z", "2026-01-02 01:04"));
        assert_eq!(Moment::of_system(SystemTime::UNIX_EPOCH).expect("1970").shown, "1970-01-01 00:00");
    }
}
