use std::io;
use std::ops::Range;

use hyper::header::{
    ACCEPT, ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, StatusCode};
use jiff::Timestamp;

use super::api::{Api, MEDIA_TYPE};
use super::state::Image;
use crate::sync::lock;
use crate::testing::content::Content;
use crate::testing::http_date;
use crate::testing::message::{Answer, Request, empty, json, message, set, text};
use crate::testing::range::{self, Unsatisfiable};

const BOUNDARY: &str = "dca8ff749ca53576b863c8ca0d198fe2588e88c5e6f4625e262db3d9c396";

impl Api {
    /// Answers with an image, or with its content. Serves images in a namespace to everyone,
    /// whatever its visibility: this is a bug of the real server.
    pub(super) fn get(&self, user: Option<usize>, id: i64, request: &Request) -> Answer {
        let found = {
            let state = lock(&self.state);
            let is_served = |image: &&Image| image.namespace.is_some() || user == Some(image.owner);
            let Some(image) = state.images.get(&id).filter(is_served) else {
                return not_found();
            };
            if request.header(ACCEPT) != Some(MEDIA_TYPE) {
                return json(StatusCode::OK, &self.image_json(&state, image));
            }
            image
                .content
                .clone()
                .map(|content| (content, image.created))
        };
        let Some((content, created)) = found else {
            return not_found();
        };
        serve(&content, created, &request.head.headers)
            .unwrap_or_else(|error| message(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))
    }
}

pub(super) fn not_found() -> Answer {
    message(StatusCode::NOT_FOUND, "Not Found")
}

/// Answers with content. Handles conditions and ranges by the rules of Go's file server.
fn serve(content: &Content, modified: Timestamp, headers: &HeaderMap) -> io::Result<Answer> {
    let last_modified = http_date::format(modified);
    let mut answer = match precondition(headers, modified) {
        Some(StatusCode::NOT_MODIFIED) => empty(StatusCode::NOT_MODIFIED, &[]),
        Some(status) => empty(status, &[(CONTENT_TYPE, MEDIA_TYPE)]),
        None => match ranges(content, modified, headers) {
            Ok(ranges) => parts(content, &ranges)?,
            Err(refusal) => unsatisfiable(&refusal, content.len()),
        },
    };
    set(answer.headers_mut(), LAST_MODIFIED, last_modified);
    Ok(answer)
}

fn ranges(
    content: &Content,
    modified: Timestamp,
    headers: &HeaderMap,
) -> Result<Vec<Range<u64>>, Unsatisfiable> {
    let unchanged = !headers.contains_key(IF_RANGE)
        || seconds(headers, &IF_RANGE).is_some_and(|date| date == modified.as_second());
    match headers.get(RANGE).and_then(|value| value.to_str().ok()) {
        Some(header) if unchanged => range::parse(header, content.len()),
        _ => Ok(Vec::new()),
    }
}

fn parts(content: &Content, ranges: &[Range<u64>]) -> io::Result<Answer> {
    let total = content.len();
    let mut payload = content.payload()?;
    let mut answer = empty(StatusCode::OK, &[(ACCEPT_RANGES, "bytes")]);
    let mut kind = MEDIA_TYPE.to_owned();
    match ranges {
        [] => content.append(0..total, &mut payload),
        [range] => {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            content.append(range.clone(), &mut payload);
            set(
                answer.headers_mut(),
                CONTENT_RANGE,
                content_range(range, total),
            );
        }
        _ => {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            kind = format!("multipart/byteranges; boundary={BOUNDARY}");
            for (index, range) in ranges.iter().enumerate() {
                let before = if index == 0 { "" } else { "\r\n" };
                payload.push(format!(
                    "{before}--{BOUNDARY}\r\nContent-Range: {}\r\nContent-Type: {MEDIA_TYPE}\r\n\r\n",
                    content_range(range, total)
                ));
                content.append(range.clone(), &mut payload);
            }
            payload.push(format!("\r\n--{BOUNDARY}--\r\n"));
        }
    }
    set(
        answer.headers_mut(),
        CONTENT_LENGTH,
        payload.len().to_string(),
    );
    set(answer.headers_mut(), CONTENT_TYPE, kind);
    *answer.body_mut() = payload;
    Ok(answer)
}

fn content_range(range: &Range<u64>, total: u64) -> String {
    format!(
        "bytes {}-{}/{total}",
        range.start,
        range.end.saturating_sub(1)
    )
}

fn unsatisfiable(refusal: &Unsatisfiable, total: u64) -> Answer {
    let words = match refusal {
        Unsatisfiable::Invalid => "invalid range\n",
        Unsatisfiable::NoOverlap => "invalid range: failed to overlap\n",
    };
    let reason = Some("Requested Range Not Satisfiable");
    let mut answer = text(StatusCode::RANGE_NOT_SATISFIABLE, reason, words);
    set(answer.headers_mut(), X_CONTENT_TYPE_OPTIONS, "nosniff");
    if *refusal == Unsatisfiable::NoOverlap {
        set(
            answer.headers_mut(),
            CONTENT_RANGE,
            format!("bytes */{total}"),
        );
    }
    answer
}

/// Returns the status of a failed condition. There are no entity tags, so none matches.
fn precondition(headers: &HeaderMap, modified: Timestamp) -> Option<StatusCode> {
    let modified = modified.as_second();
    let failed = match headers.get(IF_MATCH) {
        Some(tags) => tags != "*",
        None => seconds(headers, &IF_UNMODIFIED_SINCE).is_some_and(|date| modified > date),
    };
    if failed {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    let unchanged = match headers.get(IF_NONE_MATCH) {
        Some(tags) => tags == "*",
        None => seconds(headers, &IF_MODIFIED_SINCE).is_some_and(|date| modified <= date),
    };
    unchanged.then_some(StatusCode::NOT_MODIFIED)
}

fn seconds(headers: &HeaderMap, name: &hyper::header::HeaderName) -> Option<i64> {
    http_date::parse(headers.get(name)?.to_str().ok()?)
}
