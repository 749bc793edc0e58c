//! Any `Retry-After` header, at any time.

#![no_main]
#![allow(dead_code)]

#[path = "../../src/transport/retry_after.rs"]
mod retry_after;

use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use retry_after::{http_date, retry_after};

fuzz_target!(|input: (i64, &str)| {
    let (now, text) = input;
    let now = Timestamp::from_second(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let wait = retry_after(text, now);
    if let Some(until) = http_date(text) {
        // To the instant of the date, and never back in time.
        let left = u64::try_from(until.as_second() - now.as_second()).unwrap_or(0);
        assert_eq!(wait, Some(Duration::from_secs(left)));
    } else if let Some(wait) = wait {
        assert_eq!(wait.subsec_nanos(), 0);
        let written = wait.as_secs().to_string();
        assert_eq!(retry_after(&written, now), Some(wait));
    }
});
