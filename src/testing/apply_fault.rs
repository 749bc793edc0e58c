use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LAST_MODIFIED,
    LOCATION, RANGE, RETRY_AFTER,
};
use jiff::Timestamp;

use super::delivery::Delivery;
use super::fault::{Fault, RetryAfter};
use super::http_date;
use super::message::{Answer, Request, empty, message, page, set};
use super::shared::Shared;
use super::socket::{Close, SocketControl};

/// Applies a fault before the request is processed. Returns the answer if the fault replaces it.
pub(super) async fn to_request(
    fault: &Fault,
    request: &mut Request,
    shared: &Shared,
    control: &Arc<SocketControl>,
) -> Option<Answer> {
    match fault {
        Fault::DropRequest { close } => end(control, *close).await,
        Fault::CutRequest { after, close } => {
            request.discard(*after).await;
            end(control, *close).await
        }
        Fault::Restart { done: false, wait } => restart(shared, *wait).await,
        Fault::SlowCopy {
            wait,
            outlives_client,
        } => {
            request.copy_slowly(*wait, (!outlives_client).then(|| Arc::clone(control)));
            None
        }
        Fault::StallRequest { after, wait } => {
            request.stall(*after, *wait);
            None
        }
        Fault::IgnoreRange | Fault::RefuseRanges => {
            request.head.headers.remove(RANGE);
            None
        }
        Fault::EarlyResponse { status, after, .. } => {
            request.discard(*after).await;
            Some(message(code(*status), "too early"))
        }
        _ => {
            let answer = replacement(fault, request)?;
            request.discard(u64::MAX).await;
            Some(answer)
        }
    }
}

/// Returns the answer of a fault that replaces the server's.
fn replacement(fault: &Fault, request: &Request) -> Option<Answer> {
    let ok = |text: &'static str| {
        let mut answer = empty(StatusCode::OK, &[(CONTENT_TYPE, "application/json")]);
        *answer.body_mut() = Bytes::from_static(text.as_bytes()).into();
        answer
    };
    Some(match fault {
        Fault::Status {
            status,
            retry_after,
        } => {
            let status = code(*status);
            let mut answer = message(status, status.canonical_reason().unwrap_or("Fault"));
            if let Some(retry_after) = retry_after {
                set(answer.headers_mut(), RETRY_AFTER, delay(*retry_after));
            }
            answer
        }
        Fault::Html { status } => page(code(*status)),
        Fault::GarbageJson => ok("[{\"id\":1,\"name\":\"gar"),
        Fault::EndlessJson => ok("["),
        Fault::Redirect { status, location } => {
            empty(code(*status), &[(LOCATION, location.as_str())])
        }
        Fault::RedirectLoop { status } => {
            let target = request.head.uri.to_string();
            empty(code(*status), &[(LOCATION, target.as_str())])
        }
        _ => return None,
    })
}

/// Applies a fault to the answer. Returns how to send its body.
pub(super) async fn to_answer(
    fault: &Fault,
    answer: &mut Answer,
    shared: &Shared,
    control: &SocketControl,
) -> Delivery {
    let length = answer.body().len();
    let headers = answer.headers_mut();
    match fault {
        Fault::DropResponse { close } => return end(control, *close).await,
        Fault::Restart { done: true, wait } => return restart(shared, *wait).await,
        Fault::DelayResponse { wait } => tokio::time::sleep(*wait).await,
        Fault::CutResponse { after, close } if *after <= length => {
            return cut(headers, length, *after, *close);
        }
        Fault::EarlyResponse {
            close: Close::Reset,
            ..
        } => return cut(headers, length, length, Close::Reset),
        Fault::StallResponse { after, wait } => {
            set(headers, CONTENT_LENGTH, length.to_string());
            let (after, wait) = (*after, *wait);
            return Delivery::Stall { after, wait };
        }
        Fault::Trickle { bytes, every } => {
            set(headers, CONTENT_LENGTH, length.to_string());
            let (bytes, every) = ((*bytes).max(1), *every);
            return Delivery::Trickle { bytes, every };
        }
        Fault::EndlessJson => return Delivery::Endless,
        Fault::ContentLength { by } => {
            let declared = length.saturating_add_signed(*by);
            if declared < length {
                set(headers, CONTENT_LENGTH, declared.to_string());
                return Delivery::Overrun { after: declared };
            }
            return cut(headers, declared, length, Close::Clean);
        }
        Fault::RangeStart { by } => change(answer, &CONTENT_RANGE, |range| {
            let (first, last, total) = content_range(range)?;
            let first = first.saturating_add_signed(*by);
            let last = last.saturating_add_signed(*by);
            Some(format!("bytes {first}-{last}/{total}"))
        }),
        Fault::RangeTotal { by } => change(answer, &CONTENT_RANGE, |range| {
            let (first, last, total) = content_range(range)?;
            let total = total.saturating_add_signed(*by);
            Some(format!("bytes {first}-{last}/{total}"))
        }),
        Fault::RefuseRanges => {
            headers.remove(ACCEPT_RANGES);
        }
        Fault::LastModified { by } => change(answer, &LAST_MODIFIED, |modified| {
            let modified = http_date::parse(modified)?.saturating_add(*by);
            Some(http_date::format(Timestamp::from_second(modified).ok()?))
        }),
        Fault::Header { name, value } => {
            if let Ok(name) = HeaderName::try_from(name.as_str()) {
                set(headers, name, value);
            }
        }
        Fault::WithoutHeader { name } => {
            headers.remove(name.as_str());
        }
        _ => {}
    }
    Delivery::Plain
}

async fn end<T>(control: &SocketControl, close: Close) -> T {
    control.end(close.into());
    pending().await
}

/// Restarts the server. This connection ends with the others.
async fn restart<T>(shared: &Shared, wait: Duration) -> T {
    shared.restarter.restart(wait);
    pending().await
}

fn cut(headers: &mut hyper::HeaderMap, declared: u64, after: u64, close: Close) -> Delivery {
    set(headers, CONTENT_LENGTH, declared.to_string());
    Delivery::Cut { after, close }
}

fn change(answer: &mut Answer, name: &HeaderName, new: impl FnOnce(&str) -> Option<String>) {
    let old = answer
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok());
    if let Some(value) = old.and_then(new) {
        set(answer.headers_mut(), name.clone(), value);
    }
}

/// Parses the first, last and total of `bytes 0-9/10`.
fn content_range(header: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = header.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, total.parse().ok()?))
}

fn delay(retry_after: RetryAfter) -> String {
    match retry_after {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::Date(seconds) => {
            let now = Timestamp::now().as_second();
            let then = Timestamp::from_second(now.saturating_add(seconds.into()));
            then.map(http_date::format).unwrap_or_default()
        }
    }
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
