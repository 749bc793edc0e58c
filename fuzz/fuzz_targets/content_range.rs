//! Any `Content-Range` header.

#![no_main]
#![allow(dead_code)]

#[path = "../../src/transport/content_range.rs"]
mod content_range;

use content_range::ContentRange;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some(found) = ContentRange::parse(text) else {
        return;
    };
    let total = found
        .total
        .map_or("*".to_owned(), |total| total.to_string());
    let written = match found.range {
        Some((start, end)) => {
            assert!(start < end && found.total.is_none_or(|total| end <= total));
            format!("bytes {start}-{}/{total}", end - 1)
        }
        None => format!("bytes */{total}"),
    };
    assert_eq!(ContentRange::parse(&written), Some(found));
});
