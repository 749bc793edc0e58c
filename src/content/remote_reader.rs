//! An image on the server, read as if it were a local file.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeek, ReadBuf};

use super::stream::{io_error, read_from_buffer};
use super::{Location, Version};
use crate::error::{Error, ErrorKind, Result};

/// The minimum length of a request, which costs more than a few bytes.
const LEAST: u64 = 16 << 10;
const READ_AHEAD: u64 = 2 << 20;
const CACHE: u64 = 16 << 20;

/// A reader that seeks and reads in an image on the server: see
/// [`Images::reader`](crate::djinn::Images::reader).
///
/// Sequential reads fetch [`read_ahead`](Self::read_ahead) bytes at a time; after a seek only the
/// requested bytes are fetched, at least 16 KiB. What was read stays in a [`cache`](Self::cache), so
/// that a seek back costs no request.
///
/// All bytes are of one version of the image, the one that the first request met. If the server
/// has another one later, reading fails with [`Changed`](ErrorKind::Changed). If the server sends
/// neither a date nor an entity tag, only the length is compared.
///
/// Nothing is sent before the first read, or the first seek from the end.
///
/// # Errors
///
/// An [`io::Error`] of its traits has this crate's [`Error`] inside:
///
/// ```
/// use std::io::SeekFrom;
///
/// use machine_images::{Error, ErrorKind};
/// use tokio::io::{AsyncReadExt, AsyncSeekExt};
///
/// # async fn example(images: machine_images::djinn::Images) -> Result<(), Box<dyn std::error::Error>> {
/// let mut image = images.reader(42);
/// let mut block = [0; 4096];
/// image.seek(SeekFrom::Start(1 << 30)).await?;
/// if let Err(error) = image.read_exact(&mut block).await {
///     let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
///     if inner.is_some_and(|error| error.kind() == ErrorKind::Changed) {
///         println!("the server has another version now");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent before the first read"]
pub struct RemoteReader {
    location: Location,
    /// The version of the first answer.
    version: Option<Version>,
    position: u64,
    /// A seek from the end, until the length is known.
    from_end: Option<i64>,
    /// The bytes at the position.
    buffer: Bytes,
    cache: Cache,
    read_ahead: u64,
    /// The end of the last request; a read from there is sequential.
    next: u64,
    pending: Option<Pending>,
}

/// A request under way.
struct Pending {
    start: u64,
    answer: BoxFuture<'static, Result<(Version, Bytes)>>,
}

impl RemoteReader {
    pub(crate) fn new(location: Location) -> Self {
        Self {
            location,
            version: None,
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

    /// Sets the number of bytes that one request fetches for sequential reads. Defaults to 2 MiB,
    /// which are held in memory.
    pub fn read_ahead(mut self, bytes: u64) -> Self {
        self.read_ahead = bytes.max(1);
        self
    }

    /// Sets the maximum size of the cache in bytes. Defaults to 16 MiB. The last answer is kept in
    /// any case.
    pub fn cache(mut self, bytes: u64) -> Self {
        self.cache.limit = bytes;
        self
    }

    fn total(&self) -> Option<u64> {
        self.version.as_ref().and_then(|version| version.total)
    }

    fn begin(&mut self, wanted: u64) {
        let length = match self.position == self.next {
            true => self.read_ahead,
            false => wanted.max(LEAST).min(self.read_ahead),
        };
        let range = self.position..self.position.saturating_add(length);
        self.pending = Some(Pending {
            start: range.start,
            answer: self.read(range).boxed(),
        });
    }

    fn read(&self, range: Range<u64>) -> impl Future<Output = Result<(Version, Bytes)>> + use<> {
        let (location, version) = (self.location.clone(), self.version.clone());
        async move {
            let operation = location.operation.clone();
            operation.run(location.read(version, range)).await
        }
    }

    /// Waits for the request under way, if any, and caches its answer, which may be useful later
    /// even if a seek no longer needs it.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(pending) = &mut self.pending else {
            return Poll::Ready(Ok(()));
        };
        let answer = ready!(pending.answer.as_mut().poll(cx));
        let start = pending.start;
        self.pending = None;
        let (version, bytes) = answer?;
        if version.total.is_none() {
            let message = "the server does not say how long the image is";
            return Poll::Ready(Err(Error::plain(ErrorKind::Length, message)));
        }
        self.version = Some(version);
        self.next = start + bytes.len() as u64;
        self.cache.put(start, bytes);
        Poll::Ready(Ok(()))
    }

    /// Fills the buffer, unless the position is at the end.
    fn poll_buffer(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<()>> {
        while self.buffer.is_empty() {
            ready!(self.poll_pending(cx))?;
            if self.total().is_some_and(|total| self.position >= total) {
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

impl AsyncBufRead for RemoteReader {
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

impl AsyncRead for RemoteReader {
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

impl AsyncSeek for RemoteReader {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        self.from_end = None;
        match (to, self.total()) {
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
            match self.total() {
                Some(_) => self.as_mut().start_seek(SeekFrom::End(by))?,
                None => self.begin(0),
            }
        }
        Poll::Ready(Ok(self.position))
    }
}

impl fmt::Debug for RemoteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteReader")
            .field("position", &self.position)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

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
