//! The one reader that seeks: over bytes that are fetched by ranges.

use std::collections::VecDeque;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeek, ReadBuf};

use super::stream::{io_error, read_from_buffer};
use crate::error::Result;

/// The minimum length of a request, which costs more than a few bytes.
const LEAST: u64 = 16 << 10;
const READ_AHEAD: u64 = 2 << 20;
const MAX_READ_AHEAD: u64 = 64 << 20;
const CACHE: u64 = 16 << 20;

/// Bytes that can be read at any offset.
pub(crate) trait Ranges: Clone + Send + Unpin + 'static {
    /// Returns their number, if it is known by now.
    fn length(&self) -> Option<u64>;

    /// Returns the range to read where this one is needed.
    fn widen(&self, range: Range<u64>) -> Range<u64> {
        range
    }

    /// Reads a range, cut at the end; the length is known after that.
    fn read(self, range: Range<u64>) -> impl Future<Output = Result<(Self, Bytes)>> + Send;
}

/// A reader that seeks.
pub(crate) struct Seekable<R> {
    pub(crate) ranges: R,
    pub(crate) position: u64,
    /// A seek from the end, until the length is known.
    from_end: Option<i64>,
    /// The bytes at the position.
    buffer: Bytes,
    cache: Cache,
    read_ahead: u64,
    /// The end of the last request; a read from there is sequential.
    next: u64,
    pending: Option<Pending<R>>,
}

/// A request under way.
struct Pending<R> {
    start: u64,
    /// Never locked: the mutex lets readers be shared between threads.
    answer: Mutex<BoxFuture<'static, Result<(R, Bytes)>>>,
}

impl<R: Ranges> Seekable<R> {
    pub(crate) fn new(ranges: R) -> Self {
        Self {
            ranges,
            position: 0,
            from_end: None,
            buffer: Bytes::new(),
            cache: Cache {
                pieces: VecDeque::new(),
                held: 0,
                limit: CACHE,
            },
            read_ahead: READ_AHEAD,
            next: 0,
            pending: None,
        }
    }

    /// Sets the number of bytes that sequential reads fetch at a time. They are held in memory.
    pub(crate) fn set_read_ahead(&mut self, bytes: u64) {
        self.read_ahead = bytes.clamp(1, MAX_READ_AHEAD);
    }

    /// Sets the size of the cache.
    pub(crate) fn set_cache(&mut self, bytes: u64) {
        self.cache.limit = bytes;
    }

    fn begin(&mut self, wanted: u64) {
        let length = match self.position == self.next {
            true => self.read_ahead,
            false => wanted.max(LEAST).min(self.read_ahead),
        };
        let range = self.position..self.position.saturating_add(length);
        let range = self.ranges.widen(range);
        self.pending = Some(Pending {
            start: range.start,
            answer: Mutex::new(self.ranges.clone().read(range).boxed()),
        });
    }

    /// Waits for the request under way, if any, and caches its answer, which may be useful later
    /// even if a seek no longer needs it.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(pending) = &mut self.pending else {
            return Poll::Ready(Ok(()));
        };
        let answer = pending.answer.get_mut();
        let answer = answer.unwrap_or_else(PoisonError::into_inner);
        let answer = ready!(answer.as_mut().poll(cx));
        let start = pending.start;
        self.pending = None;
        let (ranges, bytes) = answer?;
        self.ranges = ranges;
        self.next = start + bytes.len() as u64;
        self.cache.put(start, bytes);
        Poll::Ready(Ok(()))
    }

    /// Fills the buffer, unless the position is at the end.
    fn poll_buffer(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<()>> {
        while self.buffer.is_empty() {
            ready!(self.poll_pending(cx))?;
            let length = self.ranges.length();
            if length.is_some_and(|length| self.position >= length) {
                break;
            }
            match self.cache.get(self.position) {
                Some(bytes) => self.buffer = bytes,
                None => self.begin(wanted as u64),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn move_to(&mut self, position: Option<u64>) -> io::Result<()> {
        // The limit of files, too. It keeps every range within its header.
        let Some(position) = position.filter(|&position| i64::try_from(position).is_ok()) else {
            let message = "the position is before the start or beyond 2^63";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        self.position = position;
        self.buffer.clear();
        Ok(())
    }
}

impl<R: Ranges> AsyncBufRead for Seekable<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_buffer(cx, 0)).map_err(io_error)?;
        Poll::Ready(Ok(&this.buffer))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        let amount = amount.min(this.buffer.len());
        this.buffer.advance(amount);
        this.position += amount as u64;
    }
}

impl<R: Ranges> AsyncRead for Seekable<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Asks for the whole buffer in one request.
        ready!(self.poll_buffer(cx, into.remaining())).map_err(io_error)?;
        read_from_buffer(self, cx, into)
    }
}

impl<R: Ranges> AsyncSeek for Seekable<R> {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        self.from_end = None;
        match (to, self.ranges.length()) {
            (SeekFrom::Start(position), _) => self.move_to(Some(position)),
            (SeekFrom::Current(by), _) => {
                let position = self.position.checked_add_signed(by);
                self.move_to(position)
            }
            (SeekFrom::End(by), Some(total)) => self.move_to(total.checked_add_signed(by)),
            (SeekFrom::End(by), None) => {
                self.from_end = Some(by);
                Ok(())
            }
        }
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        while let Some(by) = self.from_end {
            ready!(self.poll_pending(cx)).map_err(io_error)?;
            match self.ranges.length() {
                Some(_) => self.as_mut().start_seek(SeekFrom::End(by))?,
                None => self.begin(0),
            }
        }
        Poll::Ready(Ok(self.position))
    }
}

/// Implements the traits of a reader for a type that has one inside.
macro_rules! delegate {
    ($reader:ty) => {
        impl tokio::io::AsyncBufRead for $reader {
            fn poll_fill_buf(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<&[u8]>> {
                std::pin::Pin::new(&mut self.get_mut().0).poll_fill_buf(cx)
            }

            fn consume(mut self: std::pin::Pin<&mut Self>, amount: usize) {
                std::pin::Pin::new(&mut self.0).consume(amount);
            }
        }

        impl tokio::io::AsyncRead for $reader {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                into: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::pin::Pin::new(&mut self.0).poll_read(cx, into)
            }
        }

        impl tokio::io::AsyncSeek for $reader {
            fn start_seek(
                mut self: std::pin::Pin<&mut Self>,
                to: std::io::SeekFrom,
            ) -> std::io::Result<()> {
                std::pin::Pin::new(&mut self.0).start_seek(to)
            }

            fn poll_complete(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<u64>> {
                std::pin::Pin::new(&mut self.0).poll_complete(cx)
            }
        }
    };
}

pub(crate) use delegate;

/// Answers, the most recently used first.
struct Cache {
    pieces: VecDeque<(u64, Bytes)>,
    held: u64,
    limit: u64,
}

impl Cache {
    /// Returns the cached bytes from a position on.
    fn get(&mut self, at: u64) -> Option<Bytes> {
        let holds = |(start, bytes): &(u64, Bytes)| {
            at.checked_sub(*start)
                .is_some_and(|skipped| skipped < bytes.len() as u64)
        };
        let index = self.pieces.iter().position(holds)?;
        let (start, bytes) = self.pieces.remove(index)?;
        let rest = bytes.slice((at - start) as usize..);
        self.pieces.push_front((start, bytes));
        Some(rest)
    }

    fn put(&mut self, start: u64, bytes: Bytes) {
        self.held += bytes.len() as u64;
        self.pieces.push_front((start, bytes));
        while self.held > self.limit && self.pieces.len() > 1 {
            let oldest = self.pieces.pop_back();
            self.held -= oldest.map_or(0, |(_, bytes)| bytes.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_answer_is_evicted_first_and_one_stays() {
        let mut cache = Cache {
            pieces: VecDeque::new(),
            held: 0,
            limit: 20,
        };
        cache.put(0, Bytes::from_static(b"0123456789"));
        cache.put(50, Bytes::from_static(b"abcdefghij"));
        assert_eq!(cache.get(7).unwrap(), "789");
        assert_eq!(cache.get(10), None);
        cache.put(100, Bytes::from_static(b"A"));
        assert_eq!(cache.get(55), None);
        assert_eq!((cache.get(9).unwrap(), cache.held), ("9".into(), 11));
        cache.put(200, vec![7; 30].into());
        assert_eq!((cache.pieces.len(), cache.held), (1, 30));
    }
}
