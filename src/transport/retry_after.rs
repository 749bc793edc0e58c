//! The `Retry-After` header (RFC 9110, 10.2.3) and HTTP dates.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// Returns how long to wait: seconds, or the time from `now` to a date, zero if it has passed.
pub(crate) fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number beyond u64 still means "very long".
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until = http_date(text)?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

/// Parses an HTTP date in the form that servers still send (RFC 9110, 5.6.7).
pub(crate) fn http_date(text: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn waited(text: &str) -> Option<u64> {
        let now = http_date("Sun, 22 Nov 2026 01:04:06 GMT").unwrap();
        retry_after(text, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates() {
        assert_eq!(waited(" 120 "), Some(120));
        assert_eq!(waited("0"), Some(0));
        assert_eq!(waited("Sun, 22 Nov 2026 01:05:06 GMT"), Some(60));
        assert_eq!(waited("Sun, 22 Nov 2026 01:00:00 GMT"), Some(0));
        assert_eq!(waited("99999999999999999999"), Some(u64::MAX));
    }

    #[test]
    fn garbage_is_no_delay() {
        for text in ["", "-1", "1.5", "soon", "Sun, 22 Nov"] {
            assert_eq!(waited(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_delay_or_none(text in "[0-9]{0,25}|[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{5,8} (GMT|[-+][0-9]{4})|.{0,40}") {
            let now = Timestamp::UNIX_EPOCH;
            retry_after(&text, now);
        }

        #[test]
        fn what_is_written_is_read(seconds: u64, now in 0_i64..4_000_000_000, wait in 0_i64..4_000_000_000) {
            let now = Timestamp::from_second(now).unwrap();
            prop_assert_eq!(retry_after(&seconds.to_string(), now), Some(Duration::from_secs(seconds)));
            let then = Timestamp::from_second(now.as_second() + wait).unwrap();
            let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&then).unwrap();
            prop_assert_eq!(retry_after(&date, now), Some(Duration::from_secs(wait as u64)));
        }
    }
}
