use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::http::Version;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::absence::Presence;
use super::body::Counted;
use super::fault::Fault;
use super::inflict;
use super::message::{Answer, Request, text};
use super::record::Received;
use super::server::Shared;
use super::shape::{self, Outgoing, Shape};
use super::wire::{Close, Control, Wire, finish};

/// What is left of a request's body is read up to this size to keep the connection; beyond,
/// the connection is closed. This is Go's rule.
const WORTH_DRAINING: u64 = 256 * 1024;

/// Big enough for 256 KiB of body at a time.
const READ_BUFFER: usize = 512 * 1024;

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, mut presence: Presence) {
    // Best effort: without it small answers are late, not wrong.
    let _ = stream.set_nodelay(true);
    let control = Arc::new(Control::default());
    let wire = Wire {
        stream,
        control: Arc::clone(&control),
    };
    let here = presence.clone();
    let service = service_fn(|request| {
        let here = here.clone();
        Box::pin(answer(request, &shared, &control, here))
    });
    let mut connection = http1::Builder::new()
        .title_case_headers(true)
        .half_close(true)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(wire), service);
    tokio::select! {
        _ = poll_fn(|cx| connection.poll_without_shutdown(cx)) => {}
        () = control.ended() => {}
        () = presence.ended() => control.end(Close::Reset.into()),
    }
    let stream = connection.into_parts().io.into_inner().stream;
    // The client may have gone first.
    let _ = finish(stream, control.take_ending()).await;
}

async fn answer(
    request: hyper::Request<Incoming>,
    shared: &Arc<Shared>,
    control: &Arc<Control>,
    presence: Presence,
) -> Result<Response<Outgoing>, Infallible> {
    let (head, body) = request.into_parts();
    let received = Received::new(&head);
    let fault = shared.faults.take(&received);
    let entry = shared.log.push(received);
    let mut request = Request::new(head, body, entry.clone());
    if !shared.latency.is_zero() {
        tokio::time::sleep(shared.latency).await;
    }
    let forced = match &fault {
        Some(fault) => inflict::before(fault, &mut request, shared, control).await,
        None => None,
    };
    let mut answer = match forced {
        Some(answer) => answer,
        None if request.outlives_client() => {
            let done = detached(request, Arc::clone(shared), presence).await;
            request = done.0;
            done.1
        }
        None => process(&mut request, shared).await,
    };
    let is_early = matches!(fault, Some(Fault::EarlyAnswer { .. }));
    if is_early || !settle(&mut request).await {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    let shape = match &fault {
        Some(fault) => inflict::after(fault, &mut answer, shared, control).await,
        None => Shape::Plain,
    };
    entry.answered(answer.status().as_u16());
    Ok(answer.map(|payload| shape::shape(Counted { payload, entry }, shape, control)))
}

/// Processes a request to its end, even if its connection ends before; a server that goes away
/// ends it, though.
async fn detached(
    mut request: Request,
    shared: Arc<Shared>,
    mut presence: Presence,
) -> (Request, Answer) {
    let task = tokio::spawn(async move {
        let answer = tokio::select! {
            answer = process(&mut request, &shared) => Some(answer),
            () = presence.ended() => None,
        };
        answer.map(|answer| (request, answer))
    });
    match task.await {
        Ok(Some(done)) => done,
        // The server goes away or stops, or the task has panicked, which has been reported.
        _ => pending().await,
    }
}

async fn process(request: &mut Request, shared: &Shared) -> Answer {
    if request.head.version == Version::HTTP_11 && !request.head.headers.contains_key(HOST) {
        let reason = "Bad Request: missing required Host header";
        let body = "400 Bad Request: missing required Host header";
        return text(StatusCode::BAD_REQUEST, Some(reason), body);
    }
    shared.service.answer(request).await
}

/// Reads what is left of a small body; tells whether the connection can serve on.
async fn settle(request: &mut Request) -> bool {
    if request.holds_body_back()
        || request
            .announced()
            .is_some_and(|left| left > WORTH_DRAINING)
    {
        return false;
    }
    let limit = request.received() + WORTH_DRAINING;
    loop {
        match request.chunk().await {
            Ok(None) => return true,
            Ok(Some(_)) if request.received() <= limit => {}
            _ => return false,
        }
    }
}
