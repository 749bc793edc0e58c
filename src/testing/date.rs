use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

/// An HTTP date.
pub(super) fn print(time: Timestamp) -> String {
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .unwrap_or_default()
}

/// The seconds since 1970 that an HTTP date stands for.
pub(super) fn parse(text: &str) -> Option<i64> {
    let time = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(time.as_second())
}
