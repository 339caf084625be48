//! Byte ranges: of a `Range` request header, and of the `Content-Range` of an upload chunk.

use std::ops::RangeInclusive;

use super::GrammarError;

/// One `first-last`, `first-` or `-suffix` of a `Range` header (RFC 9110, 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first to the last position, both included.
    FromTo(u64, u64),
    /// From a position to the end.
    From(u64),
    /// The last so many bytes.
    Last(u64),
}

impl ByteRange {
    /// The bytes meant in a content of `size` bytes, the end clamped; `None` when there are none.
    pub fn resolve(self, size: u64) -> Option<RangeInclusive<u64>> {
        let last = size.checked_sub(1)?;
        match self {
            Self::FromTo(first, to) => (first <= last).then(|| first..=to.min(last)),
            Self::From(first) => (first <= last).then_some(first..=last),
            Self::Last(0) => None,
            Self::Last(count) => Some(size.saturating_sub(count)..=last),
        }
    }

    /// Parses the `Content-Range` of an upload chunk: `first-last` as the distribution specification has it,
    /// and RFC 9110's `bytes first-last/*`, which some clients send.
    ///
    /// # Errors
    /// When it is neither, or `last` is before `first`.
    pub fn parse_content_range(value: &str) -> Result<RangeInclusive<u64>, GrammarError> {
        const ERROR: GrammarError =
            GrammarError("the Content-Range of a chunk is <first>-<last>, both included");
        let value = value.trim();
        let value = value.strip_prefix("bytes ").unwrap_or(value);
        let value = value.split_once('/').map_or(value, |(range, _)| range);
        let (first, last) = value.split_once('-').ok_or(ERROR)?;
        let (first, last) = (number(first).ok_or(ERROR)?, number(last).ok_or(ERROR)?);
        if first <= last && last < u64::MAX { Ok(first..=last) } else { Err(ERROR) }
    }
}

/// The ranges of one `Range` header, in the order asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeSet(Vec<ByteRange>);

impl RangeSet {
    /// Most ranges taken from one header. eStargz and zstd:chunked clients send dozens; thousands are an attack
    /// (RFC 9110, 17.15).
    pub const MAX_RANGES: usize = 256;

    /// Parses a `Range` header.
    ///
    /// Returns `Ok(None)` for another unit than bytes, which RFC 9110 tells a server to ignore.
    ///
    /// # Errors
    /// When a bytes range is out of grammar, its end is before its start, or there are too many.
    pub fn parse(value: &str) -> Result<Option<Self>, GrammarError> {
        const ERROR: GrammarError =
            GrammarError("a Range is bytes=<first>-<last>, bytes=<first>- or bytes=-<count>");
        let (unit, ranges) = value.trim().split_once('=').ok_or(ERROR)?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Ok(None);
        }
        let mut parsed = Vec::new();
        for range in ranges.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            if parsed.len() == Self::MAX_RANGES {
                return Err(GrammarError("a Range has at most 256 parts"));
            }
            parsed.push(match range.split_once('-').ok_or(ERROR)? {
                ("", count) => ByteRange::Last(number(count).ok_or(ERROR)?),
                (first, "") => ByteRange::From(number(first).ok_or(ERROR)?),
                (first, last) => match (number(first).ok_or(ERROR)?, number(last).ok_or(ERROR)?) {
                    (first, last) if first <= last => ByteRange::FromTo(first, last),
                    _ => return Err(ERROR),
                },
            });
        }
        if parsed.is_empty() { Err(ERROR) } else { Ok(Some(Self(parsed))) }
    }

    /// The bytes meant in a content of `size` bytes, unsatisfiable parts left out.
    ///
    /// Parts are kept as asked for, in order and apart: clients count them.
    pub fn resolve(&self, size: u64) -> Vec<RangeInclusive<u64>> {
        self.0.iter().filter_map(|range| range.resolve(size)).collect()
    }
}

/// Digits only: `u64::from_str` would take a leading `+`.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(header: &str, size: u64) -> Vec<RangeInclusive<u64>> {
        RangeSet::parse(header).expect("in grammar").expect("bytes").resolve(size)
    }

    #[test]
    fn ranges_as_clients_send_them() {
        assert_eq!(resolved("bytes=500-1499", 2048), [500..=1499]);
        assert_eq!(resolved("bytes=500-", 2048), [500..=2047]);
        assert_eq!(resolved("bytes=-500", 2048), [1548..=2047]);
        assert_eq!(resolved("bytes=2000-5000", 2048), [2000..=2047]);
        assert_eq!(resolved("bytes=-5000", 2048), [0..=2047]);
        assert_eq!(resolved("bytes=0-1, 10-11,0-1", 2048), [0..=1, 10..=11, 0..=1]);
        assert_eq!(resolved("bytes=5000-10000", 2048), []);
        assert_eq!(resolved("bytes=0-", 0), []);
        assert_eq!(resolved("bytes=-0", 10), []);
    }

    #[test]
    fn refuses_what_is_outside_the_grammar() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=500-0",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=99999999999999999999-",
        ] {
            assert!(RangeSet::parse(header).is_err(), "{header:?} was accepted");
        }
        let many = format!("bytes={}", "0-0,".repeat(257));
        assert!(RangeSet::parse(&many).is_err());
        assert_eq!(RangeSet::parse("items=0-1"), Ok(None));
    }

    #[test]
    fn content_range_of_a_chunk() {
        assert_eq!(ByteRange::parse_content_range("0-1023"), Ok(0..=1023));
        assert_eq!(ByteRange::parse_content_range("bytes 5-9/*"), Ok(5..=9));
        for value in ["", "-", "1-0", "0-", "-5", "+0-1", "0-18446744073709551615", "a-b"] {
            assert!(ByteRange::parse_content_range(value).is_err(), "{value:?} was accepted");
        }
    }
}
