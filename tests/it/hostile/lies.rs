//! What a hostile server can say.

/// One thing that is not as it should be.
#[derive(Clone, Debug)]
pub(super) struct Lie {
    /// A header, a part of one, or a place in JSON.
    pub(super) field: &'static str,
    pub(super) value: String,
    /// It is told from the second answer on.
    pub(super) later: bool,
}

/// At the bounds of all that numbers are kept in.
const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "2147483648",
    "4294967296",
    "9007199254740992",
    "4611686018427387904",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "-1",
    "-9223372036854775808",
    "99999999999999999999999999999999999999999",
];

const GARBAGE: [&str; 9] = ["", " ", "x", "1.5", "1e309", "0x10", "+1", "1 2", "\u{661}"];

const STATUSES: [&str; 38] = [
    "0", "1", "99", "100", "101", "103", "199", "200", "201", "202", "203", "204", "205", "206",
    "226", "299", "300", "301", "304", "305", "307", "399", "400", "401", "403", "404", "405",
    "416", "429", "431", "499", "500", "503", "599", "600", "999", "1000", "-1",
];

const DATES: [&str; 14] = [
    "Sun, 22 Nov 2026 01:04:06 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Sat, 01 Jan 0000 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Sat, 01 Jan 0000 00:00:00 +2359",
    "Sun, 22 Nov 10000 01:04:06 GMT",
    "Sun, 22 Nov 9223372036854775807 01:04:06 GMT",
    "Sun, 22 Nov -1 01:04:06 GMT",
    "Sun, 99 Nov 2026 01:04:06 GMT",
    "Sun, 22 Nov 2026 24:60:61 GMT",
    "Sun, 22 Nov 2026 23:59:60 GMT",
    "Sun, 22 Nov 26 01:04:06 GMT",
    "Sunday, 22-Nov-26 01:04:06 GMT",
];

const JSON: [&str; 12] = [
    "\"\"",
    "\"x\"",
    "\"7\"",
    "null",
    "true",
    "[]",
    "{}",
    "1.5",
    "1e2",
    "1e309",
    "-0",
    "\"\\u0000\\ud83d\\ude00\"",
];

const TIMES: [&str; 9] = [
    "\"0000-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:60Z\"",
    "\"9999-12-31T23:59:59.999999999-25:59\"",
    "\"-009999-01-01T00:00:00+25:59\"",
    "\"+999999-01-01T00:00:00Z\"",
    "\"2026-11-22T01:04:06.99999999999999999999Z\"",
    "\"2026-11-22\"",
    "\"2026-99-99T99:99:99Z\"",
    "\"9223372036854775807\"",
];

/// What is said in the head of any answer.
const HEADS: [&str; 5] = [
    "status",
    "content-length",
    "last-modified",
    "etag",
    "retry-after",
];
const RANGES: [&str; 3] = ["range-first", "range-last", "range-total"];
const LINKS: [&str; 3] = ["link-next", "link-previous", "rows"];
const ROWS: [&str; 9] = [
    "/id",
    "/author_id",
    "/user_id",
    "/namespace_id",
    "/name",
    "/url",
    "/created_at",
    "/user/username",
    "/user/created_at",
];
const NESTED: [&str; 9] = [
    "/download/source",
    "/download/error",
    "/download/created_at",
    "/download/finished_at",
    "/namespace/id",
    "/namespace/user_id",
    "/namespace/root_id",
    "/namespace/parent_id",
    "/namespace/created_at",
];
const DEVOPS: [&str; 8] = [
    "/id",
    "/provider",
    "/remote_user",
    "/name",
    "/message",
    "/image",
    "/image/id",
    "rows",
];

/// What concerns an operation.
pub(super) fn lies(operation: &str) -> Vec<Lie> {
    let mut fields = HEADS.to_vec();
    let is_content = ["content", "bytes", "reader", "inspect", "save"];
    let is_content = is_content.iter().any(|word| operation.starts_with(word));
    if operation.starts_with("devops") {
        fields.extend(DEVOPS);
    } else if is_content {
        fields.extend(RANGES);
    } else {
        fields.extend(ROWS);
        match operation {
            "get" => fields.extend(NESTED),
            "wait" => fields.extend(NESTED.iter().chain(&RANGES)),
            "check" => fields.extend(["/username"]),
            "upload reconcile" => fields.extend(RANGES.iter().chain(&LINKS)),
            "upload" | "create download" | "delete" => {}
            _ => fields.extend(LINKS),
        }
    }
    let mut lies = Vec::new();
    for field in fields {
        let mut values: Vec<String> = NUMBERS.map(str::to_owned).into();
        match field {
            "status" => values = STATUSES.map(str::to_owned).into(),
            "rows" => values = ["0", "1", "1000", "10000"].map(str::to_owned).into(),
            _ if field.starts_with('/') => {
                values.extend(JSON.map(str::to_owned));
                values.extend(TIMES.map(str::to_owned));
                values.push(format!("\"{}\"", "x".repeat(3 << 20)));
                values.push(format!("{}{}", "[".repeat(1000), "]".repeat(1000)));
            }
            _ => {
                values.extend(GARBAGE.map(str::to_owned));
                if matches!(field, "last-modified" | "retry-after") {
                    values.extend(DATES.map(str::to_owned));
                }
            }
        }
        for value in values {
            // An answer to one request has no later one.
            let later: &[bool] = if is_content { &[false, true] } else { &[false] };
            lies.extend(later.iter().map(|&later| Lie {
                field,
                value: value.clone(),
                later,
            }));
        }
    }
    lies
}
