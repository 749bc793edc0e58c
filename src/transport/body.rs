//! The body of an upload: it keeps to its length, and reports its progress.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http_body::{Frame, SizeHint};

use super::rate::{MinRate, Pace};
use crate::progress::Meter;
use crate::source::{Chunks, Opened};
use crate::sync::lock;

/// The largest piece that is given to the connection at once; with a minimum rate, the share of
/// one window that a piece may have.
const PIECE: u64 = 256 * 1024;
const SHARE: u64 = 8;

/// The progress of a request's body, shared with the sender of the request.
#[derive(Clone)]
pub(crate) struct Sending(Arc<Mutex<State>>);

struct State {
    moved: Instant,
    sent: u64,
    done: bool,
    /// The connection has asked for more, and the source has yet to give it.
    waits_for_source: bool,
    /// The source fails by itself if it takes too long.
    is_timed: bool,
    pace: Option<Pace>,
    /// Bytes given to the connection last, until it asks for more.
    taken: Option<usize>,
    failure: Option<io::Error>,
}

impl Sending {
    /// Returns the progress of a body in memory, which counts as sent.
    pub(crate) fn of_bytes(bytes: usize) -> Self {
        Self::new(bytes as u64, true, true, None)
    }

    fn new(sent: u64, done: bool, is_timed: bool, min_rate: Option<MinRate>) -> Self {
        Self(Arc::new(Mutex::new(State {
            moved: Instant::now(),
            sent,
            done,
            waits_for_source: false,
            is_timed,
            pace: min_rate.map(MinRate::pace),
            taken: None,
            failure: None,
        })))
    }

    fn with<T>(&self, use_state: impl FnOnce(&mut State) -> T) -> T {
        use_state(&mut lock(&self.0))
    }

    /// Returns when the body last moved, and whether it was sent. Waiting for a source with a time
    /// limit is no standstill of the connection.
    pub(crate) fn progress(&self) -> (Instant, bool) {
        self.with(|state| {
            if state.waits_for_source && state.is_timed {
                state.moved = Instant::now();
            }
            (state.moved, state.done)
        })
    }

    /// Returns the number of bytes given to the connection.
    pub(crate) fn sent(&self) -> u64 {
        self.with(|state| state.sent)
    }

    /// Returns `true` if the body waits for its source.
    pub(crate) fn waits_for_source(&self) -> bool {
        self.with(|state| state.waits_for_source)
    }

    /// Returns how much longer the connection may take for the bytes it has, with a minimum rate.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.with(|state| {
            let pace = state.pace.as_ref().filter(|_| !state.done)?;
            let waited = state
                .taken
                .map_or(Duration::ZERO, |_| state.moved.elapsed());
            Some(pace.patience().saturating_sub(waited))
        })
    }

    /// Notes that the connection asks for more.
    fn asked(&self) {
        self.with(|state| {
            if let (Some(pace), Some(bytes)) = (&mut state.pace, state.taken.take()) {
                pace.moved(bytes, state.moved.elapsed());
            }
            // The source's time begins here.
            if !state.waits_for_source {
                state.moved = Instant::now();
            }
        });
    }

    /// Returns `true` if the whole body was given to the connection.
    pub(crate) fn is_done(&self) -> bool {
        self.with(|state| state.done)
    }

    /// Notes that the source failed.
    pub(crate) fn fail(&self, error: io::Error) {
        self.with(|state| state.failure = Some(error));
    }

    /// Returns the error of the source.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        self.with(|state| state.failure.take())
    }
}

pub(crate) struct UploadBody {
    // In a mutex only because reqwest requires bodies to be Sync.
    chunks: Mutex<Chunks>,
    length: Option<u64>,
    taken: u64,
    /// The last chunk, held back until the source has ended.
    last: Option<Bytes>,
    ended: bool,
    sending: Sending,
    meter: Meter,
}

impl UploadBody {
    pub(crate) fn new(source: Opened, meter: Meter, min_rate: Option<MinRate>) -> (Self, Sending) {
        let sending = Sending::new(0, source.length == Some(0), source.is_timed, min_rate);
        // Large pieces that go out slowly would look like stalls.
        let most =
            min_rate.map_or(PIECE, |rate| (rate.least() / SHARE).clamp(1024, PIECE)) as usize;
        meter.start(source.length, 0);
        let body = Self {
            chunks: Mutex::new(
                source
                    .chunks
                    .flat_map(move |chunk| pieces(chunk, most))
                    .boxed(),
            ),
            length: source.length,
            taken: 0,
            last: None,
            ended: source.length == Some(0),
            sending: sending.clone(),
            meter,
        };
        (body, sending)
    }

    fn fail(&mut self, error: io::Error) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let copy = io::Error::new(error.kind(), error.to_string());
        self.sending.fail(error);
        self.ended = true;
        Poll::Ready(Some(Err(copy)))
    }

    fn give(&mut self, chunk: Bytes, done: bool) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.sending.with(|state| {
            state.moved = Instant::now();
            state.sent += chunk.len() as u64;
            state.done |= done;
            state.taken = Some(chunk.len());
        });
        self.meter.at(self.taken);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn finish(&mut self) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.ended = true;
        if let Some(length) = self.length.filter(|&length| length != self.taken) {
            let message = format!("it ended after {} of {length} bytes", self.taken);
            return self.fail(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        match self.last.take() {
            Some(chunk) => self.give(chunk, true),
            None => {
                self.sending.with(|state| {
                    // The source may have ended long after its last bytes.
                    state.moved = Instant::now();
                    state.done = true;
                });
                Poll::Ready(None)
            }
        }
    }
}

/// Splits a chunk into pieces of at most `most` bytes: what is taken from here counts as sent.
fn pieces(chunk: io::Result<Bytes>, most: usize) -> impl Stream<Item = io::Result<Bytes>> {
    let mut rest = Some(chunk);
    stream::iter(std::iter::from_fn(move || {
        let mut piece = rest.take()?;
        if let Ok(bytes) = &mut piece {
            if bytes.len() > most {
                rest = Some(Ok(bytes.split_off(most)));
            }
        }
        Some(piece)
    }))
}

impl http_body::Body for UploadBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        this.sending.asked();
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            let chunks = this
                .chunks
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            let polled = chunks.poll_next_unpin(cx);
            let waits = polled.is_pending();
            this.sending.with(|state| state.waits_for_source = waits);
            let chunk = match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return this.finish(),
                Poll::Ready(Some(Err(error))) => return this.fail(error),
                Poll::Ready(Some(Ok(chunk))) if chunk.is_empty() => continue,
                Poll::Ready(Some(Ok(chunk))) => chunk,
            };
            this.taken += chunk.len() as u64;
            match this.length {
                Some(length) if this.taken > length => {
                    let message = format!("it has more than its {length} bytes");
                    return this.fail(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                Some(length) if this.taken == length => this.last = Some(chunk),
                _ => return this.give(chunk, false),
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;

    #[tokio::test]
    async fn a_window_of_the_minimum_rate_has_many_pieces() {
        for (rate, piece) in [
            (None, PIECE),
            (MinRate::new(80_000, Duration::from_secs(1)), 10_000),
        ] {
            let source = crate::djinn::Source::from(vec![0; 1 << 20]);
            let (opened, _) = source.open().await.unwrap();
            let (mut body, _) = UploadBody::new(opened, Meter::default(), rate);
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let frame = frame.unwrap().unwrap().into_data().unwrap();
            assert_eq!(frame.len() as u64, piece);
        }
    }

    const PAUSE: Duration = Duration::from_millis(20);

    async fn body_of(
        chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> (UploadBody, Sending) {
        let source = crate::djinn::Source::stream(chunks, None);
        let (opened, _) = source.open().await.unwrap();
        UploadBody::new(opened, Meter::default(), None)
    }

    /// Asks for a chunk, as the connection does; returns `false` if the source has yet to give it.
    fn ask(body: &mut UploadBody) -> bool {
        let asked = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        futures::FutureExt::now_or_never(asked).is_some()
    }

    fn chunk() -> io::Result<Bytes> {
        Ok(Bytes::from_static(b"x"))
    }

    #[tokio::test]
    async fn the_end_of_a_source_without_length_is_when_it_ends() {
        let end = stream::poll_fn(|_| {
            std::thread::sleep(PAUSE);
            Poll::Ready(None)
        });
        let (mut body, sending) = body_of(stream::iter([chunk()]).chain(end)).await;
        assert!(ask(&mut body));
        let (given, _) = sending.progress();

        assert!(ask(&mut body));

        let (ended, is_done) = sending.progress();
        assert!(is_done && ended >= given + PAUSE);
    }

    #[tokio::test]
    async fn a_source_is_waited_for_from_when_the_connection_asks() {
        for chunks in [vec![], vec![chunk()]] {
            let count = chunks.len();
            let (mut body, sending) = body_of(stream::iter(chunks).chain(stream::pending())).await;
            for _ in 0..count {
                assert!(ask(&mut body));
            }
            let (before, _) = sending.progress();
            std::thread::sleep(PAUSE);

            assert!(!ask(&mut body));

            let (asked, _) = sending.progress();
            assert!(sending.waits_for_source() && asked >= before + PAUSE);
            std::thread::sleep(PAUSE);
            assert!(!ask(&mut body));
            assert_eq!(sending.progress().0, asked);
        }
    }
}
