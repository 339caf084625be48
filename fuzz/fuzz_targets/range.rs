//! Any `Range` and `Content-Range` over any size: refused, or ranges that lie within the content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pakhuis::oci::{ByteRange, RangeSet};

fuzz_target!(|input: (u64, &str)| {
    let (size, value) = input;
    if let Ok(Some(ranges)) = RangeSet::parse(value) {
        let resolved = ranges.resolve(size);
        assert!(resolved.len() <= RangeSet::MAX_RANGES);
        assert!(resolved.iter().all(|range| range.start() <= range.end() && *range.end() < size));
    }
    if let Ok(range) = ByteRange::parse_content_range(value) {
        assert!(range.start() <= range.end() && *range.end() < u64::MAX);
    }
});
