//! The faults that are tried, in the order of the tables.

use std::time::Duration;

use machine_images::testing::{Close, Fault, RetryAfter};

use super::Mode;

const SHORT: Duration = Duration::from_millis(50);
/// Longer than every timeout.
const LONG: Duration = Duration::from_secs(4);

/// Whether the server has nothing to do any more when the call is over.
pub(super) fn is_over_at_once(fault: &Fault) -> bool {
    match fault {
        Fault::StallRequest { wait, .. }
        | Fault::DelayResponse { wait }
        | Fault::StallResponse { wait, .. }
        | Fault::SlowCopy { wait, .. } => *wait < LONG,
        Fault::Restart { .. } => false,
        _ => true,
    }
}

pub(super) fn faults(mode: Mode) -> Vec<Fault> {
    let answers = statuses().into_iter().chain(redirects());
    let others = connections().into_iter().chain(answers).chain(bodies());
    match mode {
        Mode::Once | Mode::Always => others.collect(),
        // What is sent in place of contents, or is wrong about them.
        Mode::Resuming => others
            .filter(|fault| !is_about_uploads(fault))
            .filter(|fault| !format!("{fault:?}").contains("Link"))
            .collect(),
    }
}

fn is_about_uploads(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::CutRequest { .. } | Fault::StallRequest { .. } | Fault::SlowCopy { .. }
    )
}

fn connections() -> Vec<Fault> {
    let mut faults = Vec::new();
    let ends = [Close::Clean, Close::Reset];
    faults.extend(ends.map(|close| Fault::DropRequest { close }));
    faults.extend(ends.map(|close| Fault::CutRequest { after: 1000, close }));
    faults.extend(ends.map(|close| Fault::DropResponse { close }));
    for after in [0, 100, 50_000] {
        faults.extend(ends.map(|close| Fault::CutResponse { after, close }));
    }
    let waits = [SHORT, LONG];
    faults.extend(waits.map(|wait| Fault::StallRequest { after: 1000, wait }));
    faults.extend(waits.map(|wait| Fault::DelayResponse { wait }));
    faults.extend(waits.map(|wait| Fault::StallResponse { after: 100, wait }));
    for wait in waits {
        faults.extend([false, true].map(|done| Fault::Restart { done, wait }));
    }
    for (wait, outlives_client) in [(SHORT, false), (LONG, false), (LONG, true)] {
        faults.push(Fault::SlowCopy {
            wait,
            outlives_client,
        });
    }
    faults.push(Fault::Trickle {
        bytes: 5000,
        every: Duration::from_millis(2),
    });
    faults
}

fn statuses() -> Vec<Fault> {
    let mut faults: Vec<_> = [
        304, 400, 401, 403, 404, 408, 409, 413, 416, 418, 429, 500, 502, 503, 504,
    ]
    .map(Fault::status)
    .into();
    for retry_after in [
        RetryAfter::Seconds(1),
        RetryAfter::Seconds(60),
        RetryAfter::Date(1),
        RetryAfter::Date(3600),
    ] {
        faults.push(Fault::Status {
            status: 503,
            retry_after: Some(retry_after),
        });
    }
    faults.extend([200, 404, 413, 500, 502, 504].map(|status| Fault::Html { status }));
    faults.extend(
        [
            (413, Close::Clean),
            (413, Close::Reset),
            (503, Close::Clean),
        ]
        .map(|(status, close)| Fault::EarlyResponse {
            status,
            after: 1000,
            close,
        }),
    );
    faults
}

fn redirects() -> Vec<Fault> {
    let mut faults: Vec<_> = [
        (301, "https://127.0.0.1/api/images"),
        (302, "/api/images"),
        (303, "/login"),
        (307, "http://127.0.0.1:1/elsewhere"),
        (308, "http://["),
    ]
    .map(|(status, location)| Fault::Redirect {
        status,
        location: location.to_owned(),
    })
    .into();
    faults.extend([302, 307].map(|status| Fault::RedirectLoop { status }));
    faults
}

fn bodies() -> Vec<Fault> {
    let mut faults = vec![Fault::GarbageJson, Fault::EndlessJson];
    faults.extend([10, -10].map(|by| Fault::ContentLength { by }));
    faults.extend([5, -5].map(|by| Fault::RangeStart { by }));
    faults.extend([1, -1].map(|by| Fault::RangeTotal { by }));
    faults.extend([Fault::IgnoreRange, Fault::RefuseRanges]);
    faults.push(Fault::LastModified { by: 60 });
    let headers = [
        ("Link", "garbage"),
        ("Link", "<http://127.0.0.1:1/images?page=2>; rel=\"next\""),
        ("Content-Type", "text/html"),
        ("Content-Type", "application/json"),
        ("Content-Encoding", "gzip"),
        ("Content-Range", "garbage"),
    ];
    faults.extend(headers.map(|(name, value)| Fault::header(name, value)));
    let left_out = [
        "Link",
        "Content-Type",
        "Content-Length",
        "Content-Range",
        "Last-Modified",
    ];
    faults.extend(left_out.map(|name| Fault::WithoutHeader {
        name: name.to_owned(),
    }));
    faults
}
