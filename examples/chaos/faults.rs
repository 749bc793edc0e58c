//! Any fault, with any parameters.

use std::time::Duration;

use fastrand::Rng;
use machine_images::testing::{Close, Fault, RetryAfter};

use super::calls::Call;
use super::other_server::OtherServer;

/// Beyond every timeout of the runs.
const LONG: Duration = Duration::from_millis(900);

/// The longest absence of the server, and the longest copy: beyond the client's patience, and
/// shorter than a search for an upload takes.
pub(crate) const AWAY: u64 = 300;
const COPYING: u64 = 600;

/// A random fault for contents, images or lists of this many bytes.
pub(crate) fn random(rng: &mut Rng, length: u64, other_server: &OtherServer) -> Fault {
    let after = match rng.u8(..4) {
        0 => 0,
        1 => rng.u64(..2000),
        _ => rng.u64(..length),
    };
    let close = if rng.bool() {
        Close::Clean
    } else {
        Close::Reset
    };
    let wait = if rng.bool() {
        LONG
    } else {
        Duration::from_millis(20)
    };
    let by = rng.i64(1..1000);
    let signed = if rng.bool() { by } else { -by };
    match rng.u8(..27) {
        0 => Fault::DropRequest { close },
        1 => Fault::CutRequest { after, close },
        2 => Fault::DropResponse { close },
        // The usual trouble.
        3..=5 => Fault::CutResponse { after, close },
        6 => Fault::StallRequest { after, wait },
        7 => Fault::DelayResponse { wait },
        8 => Fault::StallResponse { after, wait },
        9 => Fault::Trickle {
            bytes: 1 + length as usize / rng.usize(4..40),
            every: Duration::from_millis(rng.u64(..10)),
        },
        10 => status(rng),
        11 => Fault::Html {
            status: pick(rng, &[200, 404, 413, 500, 502, 503, 504]),
        },
        12 => Fault::EarlyResponse {
            status: pick(rng, &[200, 400, 404, 413, 503]),
            after,
            close,
        },
        13 => Fault::GarbageJson,
        // Each costs 32 MiB.
        14 if rng.u8(..8) == 0 => Fault::EndlessJson,
        14 | 15 => Fault::Redirect {
            status: pick(rng, &[301, 302, 303, 307, 308]),
            location: match rng.u8(..3) {
                0 => "/api/images".to_owned(),
                1 => "/login".to_owned(),
                _ => other_server.url("/api/images"),
            },
        },
        16 => Fault::RedirectLoop {
            status: pick(rng, &[301, 302, 307, 308]),
        },
        17 => Fault::ContentLength { by: signed },
        18 => Fault::RangeStart { by: signed },
        19 => Fault::RangeTotal { by: signed },
        20 => Fault::IgnoreRange,
        21 => Fault::RefuseRanges,
        22 => Fault::LastModified { by: signed },
        23 | 24 => Fault::Restart {
            done: rng.bool(),
            wait: Duration::from_millis(rng.u64(..AWAY)),
        },
        25 => Fault::SlowCopy {
            wait: Duration::from_millis(rng.u64(..COPYING)),
            outlives_client: rng.bool(),
        },
        _ => header(rng, other_server),
    }
}

fn status(rng: &mut Rng) -> Fault {
    let retry_after = match rng.u8(..6) {
        0 => Some(RetryAfter::Seconds(0)),
        1 => Some(RetryAfter::Seconds(60)),
        2 => Some(RetryAfter::Date(0)),
        _ => None,
    };
    let all = [
        304, 400, 401, 403, 404, 408, 409, 416, 418, 429, 500, 501, 502, 503, 504,
    ];
    Fault::Status {
        status: pick(rng, &all),
        retry_after,
    }
}

fn header(rng: &mut Rng, other_server: &OtherServer) -> Fault {
    let foreign = format!("<{}>; rel=\"next\"", other_server.url("/api/images?page=2"));
    let headers = [
        ("Link", "garbage"),
        ("Link", foreign.as_str()),
        ("Link", "</api/images?page=2"),
        ("Content-Type", "text/html"),
        ("Content-Type", "application/json"),
        ("Content-Encoding", "gzip"),
        ("Content-Range", "bytes 5-9/3"),
        ("Last-Modified", "yesterday"),
    ];
    let (name, value) = pick(rng, &headers);
    match rng.u8(..3) {
        0 => Fault::WithoutHeader {
            name: name.to_owned(),
        },
        _ => Fault::header(name, value),
    }
}

fn pick<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.usize(..all.len())]
}

/// Whether a success may be none, as nothing in the answers tells: a length that is too small but
/// true to what follows, a total that is always too small, a list without its links, a server that
/// calls a deletion done.
pub(crate) fn is_undetectable(fault: &Fault, call: &Call, once: bool) -> bool {
    let deletion = matches!(call, Call::Delete { .. });
    match fault {
        Fault::ContentLength { by } => *by < 0,
        Fault::RangeTotal { by } => *by < 0 && !once,
        Fault::WithoutHeader { name } => name == "Link",
        Fault::EarlyResponse { status, .. } | Fault::Status { status, .. } => {
            deletion && matches!(status, 200 | 404)
        }
        _ => false,
    }
}
