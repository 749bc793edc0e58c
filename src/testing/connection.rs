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

use super::apply_fault;
use super::body::CountedBody;
use super::delivery::{Delivery, Outgoing};
use super::fault::Fault;
use super::message::{Answer, Request, text};
use super::request_log::Received;
use super::restart::ShutdownSignal;
use super::shared::Shared;
use super::socket::{Close, Socket, SocketControl, close};

/// The most bytes of an unread request body that are read to keep the connection. Beyond, the
/// connection is closed. This is Go's limit.
const DRAIN_LIMIT: u64 = 256 * 1024;

/// Holds 256 KiB of body at a time.
const READ_BUFFER: usize = 512 * 1024;

/// Serves one connection until it ends.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, mut shutdown: ShutdownSignal) {
    // Best effort: without it small answers are late, not wrong.
    let _ = stream.set_nodelay(true);
    let control = Arc::new(SocketControl::default());
    let socket = Socket {
        stream,
        control: Arc::clone(&control),
    };
    let signal = shutdown.clone();
    let service = service_fn(|request| {
        let signal = signal.clone();
        Box::pin(answer(request, &shared, &control, signal))
    });
    let mut connection = http1::Builder::new()
        .title_case_headers(true)
        .half_close(true)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        _ = poll_fn(|cx| connection.poll_without_shutdown(cx)) => {}
        () = control.ended() => {}
        () = shutdown.received() => control.end(Close::Reset.into()),
    }
    let stream = connection.into_parts().io.into_inner().stream;
    // The client may have closed the connection first.
    let _ = close(stream, control.take_ending()).await;
}

async fn answer(
    request: hyper::Request<Incoming>,
    shared: &Arc<Shared>,
    control: &Arc<SocketControl>,
    shutdown: ShutdownSignal,
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
        Some(fault) => apply_fault::to_request(fault, &mut request, shared, control).await,
        None => None,
    };
    let mut answer = match forced {
        Some(answer) => answer,
        None if request.outlives_client() => {
            let done = process_detached(request, Arc::clone(shared), shutdown).await;
            request = done.0;
            done.1
        }
        None => process(&mut request, shared).await,
    };
    let is_early = matches!(fault, Some(Fault::EarlyResponse { .. }));
    if is_early || !drain(&mut request).await {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    let delivery = match &fault {
        Some(fault) => apply_fault::to_answer(fault, &mut answer, shared, control).await,
        None => Delivery::Plain,
    };
    entry.answered(answer.status().as_u16());
    Ok(answer.map(|payload| delivery.of(CountedBody { payload, entry }, control)))
}

/// Processes a request to its end, even if the client closes the connection. A restart of the
/// server interrupts it.
async fn process_detached(
    mut request: Request,
    shared: Arc<Shared>,
    mut shutdown: ShutdownSignal,
) -> (Request, Answer) {
    let task = tokio::spawn(async move {
        let answer = tokio::select! {
            answer = process(&mut request, &shared) => Some(answer),
            () = shutdown.received() => None,
        };
        answer.map(|answer| (request, answer))
    });
    match task.await {
        Ok(Some(done)) => done,
        // The server restarts or stops, or the task has panicked, which has been reported.
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

/// Reads the rest of a small body. Returns `true` if the connection can be kept.
async fn drain(request: &mut Request) -> bool {
    if request.awaits_continue() || request.remaining().is_some_and(|left| left > DRAIN_LIMIT) {
        return false;
    }
    let limit = request.received() + DRAIN_LIMIT;
    loop {
        match request.chunk().await {
            Ok(None) => return true,
            Ok(Some(_)) if request.received() <= limit => {}
            _ => return false,
        }
    }
}
