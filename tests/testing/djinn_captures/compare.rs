//! What an answer has in common with the captured one: all but what a date, an address or a
//! random number makes of it.

use serde_json::Value;

use super::exchange::{DISK, Exchange, disk};
use crate::http::Answer;

/// Fields whose text or number is the same, too.
const SAME: [&str; 11] = [
    "id",
    "author_id",
    "user_id",
    "name",
    "driver",
    "username",
    "path",
    "visibility",
    "description",
    "source",
    "error",
];

/// Headers whose value is the same.
const HEADERS: [&str; 8] = [
    "Link",
    "Location",
    "Connection",
    "Accept-Ranges",
    "Content-Range",
    "Last-Modified",
    "X-Content-Type-Options",
    "Content-Type",
];

/// What the real server adds when the request's `Host` is not its own.
const FOREIGN: [&str; 2] = ["Set-Cookie", "X-Frame-Options"];

pub(super) fn differences(exchange: &Exchange, answer: &Answer, source: &str) -> Vec<String> {
    let captured = &exchange.response;
    let mut found = Vec::new();
    if captured.status != answer.status() {
        found.push(format!(
            "status {} for {}",
            answer.status(),
            captured.status
        ));
    }
    let is_json =
        |text: Option<&str>| text.is_some_and(|text| text.starts_with("application/json"));
    let mut names: Vec<&str> = captured.headers.iter().map(|(name, _)| &**name).collect();
    names.retain(|name| captured.status == 303 || !FOREIGN.contains(name));
    names.sort_unstable();
    if names != answer.header_names() {
        found.push(format!("headers {:?} for {names:?}", answer.header_names()));
    }
    // Content that a download fetched is as old as the download.
    let is_old = exchange.request.target == "/api/images/112";
    for name in HEADERS {
        if name == "Last-Modified" && !is_old {
            continue;
        }
        let value = |value: Option<&str>| value.map(without_boundary);
        let (got, wanted) = (value(answer.header(name)), value(captured.header(name)));
        if got != wanted {
            found.push(format!("{name}: {got:?} for {wanted:?}"));
        }
    }
    if exchange.request.method == "HEAD" {
        return found;
    }
    match captured.json(source) {
        Some(wanted) if is_json(answer.header("Content-Type")) => {
            compare(&mut found, "", &wanted, &answer.json());
        }
        Some(_) => {}
        None if is_json(captured.header("Content-Type")) => cut_list(&mut found, exchange, answer),
        None => bytes(&mut found, exchange, answer),
    }
    found
}

fn without_boundary(value: &str) -> String {
    match value.split_once("; boundary=") {
        Some((kind, _)) => kind.to_owned(),
        None => value.to_owned(),
    }
}

/// The same keys, kinds and, in some fields and in errors, values.
fn compare(found: &mut Vec<String>, place: &str, wanted: &Value, got: &Value) {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            let keys = [wanted, got].map(|fields| fields.keys().collect::<Vec<_>>());
            if keys[0] != keys[1] {
                found.push(format!("{place}: keys {:?} for {:?}", keys[1], keys[0]));
            }
            let is_error = !wanted.contains_key("created_at") && !wanted.contains_key("author");
            for (key, wanted) in wanted {
                let got = got.get(key).unwrap_or(&Value::Null);
                let place = format!("{place}/{key}");
                // The order in which namespaces were created does not matter here.
                let is_same = SAME.contains(&key.as_str()) && place != "/namespace/id";
                if (is_same || is_error) && wanted != got {
                    found.push(format!("{place}: {got} for {wanted}"));
                } else {
                    compare(found, &place, wanted, got);
                }
            }
        }
        (Value::Array(wanted), Value::Array(got)) => {
            if wanted.len() != got.len() {
                found.push(format!("{place}: {} for {}", got.len(), wanted.len()));
            }
            for (at, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                compare(found, &format!("{place}/{at}"), wanted, got);
            }
        }
        _ if std::mem::discriminant(wanted) == std::mem::discriminant(got) => {}
        _ => found.push(format!("{place}: {got} for {wanted}")),
    }
}

/// A page of a list whose rows were not captured to the end: as many rows as fit the length.
fn cut_list(found: &mut Vec<String>, exchange: &Exchange, answer: &Answer) {
    let wanted = match exchange.response.header("Content-Length") {
        Some("4305") => 10,
        Some("3096") => 7,
        _ => 25,
    };
    let rows = answer.json();
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    if rows.len() != wanted {
        found.push(format!("{} rows for {wanted}", rows.len()));
    }
    if rows.iter().any(|row| row["author"].is_null()) {
        found.push("rows without author".to_owned());
    }
}

/// Text as it was captured, or contents as they were uploaded.
fn bytes(found: &mut Vec<String>, exchange: &Exchange, answer: &Answer) {
    let captured = &exchange.response;
    let length = captured.header("Content-Length");
    if length != answer.header("Content-Length") {
        let got = answer.header("Content-Length");
        found.push(format!("length {got:?} for {length:?}"));
    }
    if let Some(text) = &captured.text {
        if text.trim_end() != answer.text().trim_end() {
            found.push(format!("{:?} for {text:?}", answer.text()));
        }
        return;
    }
    let range = match (captured.status, captured.header("Content-Range")) {
        (200, _) => 0..DISK,
        (206, Some(range)) => {
            let (first, last) = range["bytes ".len()..].split_once('-').unwrap();
            let last: usize = last.split('/').next().unwrap().parse().unwrap();
            first.parse().unwrap()..last + 1
        }
        _ => return,
    };
    if answer.body != disk()[range] {
        found.push("other contents".to_owned());
    }
}
