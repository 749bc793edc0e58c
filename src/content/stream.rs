//! The content of an image as a stream and a reader.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    LAST_MODIFIED,
};
use jiff::Timestamp;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::body::Body;
use super::response::ContentResponse;
use super::{ContentInfo, Location};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Meter;
use crate::retry::Retries;
use crate::source::Source;

/// The most that [`Content::bytes`] collects.
const MAX_COLLECTED: u64 = 64 * 1024 * 1024;

/// The content of an image, or a range of it, as it arrives.
///
/// It can be read in four ways: chunk by chunk with [`chunk`](Self::chunk), as a
/// [`Stream`] of chunks, as an [`AsyncRead`] and [`AsyncBufRead`], and at once with
/// [`bytes`](Self::bytes). It can also be the [`Source`] of an upload.
///
/// A broken connection is replaced by a new one that continues where the old one stopped, if the
/// server sends the date of the image or an entity tag, and still has that version. Content that
/// ends early or goes on too long is an error.
///
/// ```
/// use tokio::io::AsyncReadExt;
///
/// # async fn example(images: machine_images::djinn::Images) -> Result<(), Box<dyn std::error::Error>> {
/// let mut content = images.content(42).await?;
/// let mut magic = [0; 4];
/// content.read_exact(&mut magic).await?;
/// while let Some(chunk) = content.chunk().await? {
///     println!("{} bytes", chunk.len());
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The error of every way of reading is one of these. An [`io::Error`] has this crate's [`Error`]
/// inside. After an error the content is at its end.
///
/// - [`Transport`](ErrorKind::Transport), [`Stalled`](ErrorKind::Stalled) and the like if the
///   transfer breaks and cannot be resumed.
/// - [`Changed`](ErrorKind::Changed) if the server has another version by then.
/// - [`Length`](ErrorKind::Length) if more or fewer bytes arrive than announced.
/// - [`DigestMismatch`](ErrorKind::DigestMismatch) if an expected digest does not match, before the
///   last bytes are returned.
///
/// # Cancel safety
///
/// Dropping the future of `chunk`, or of any read, loses no bytes: the next one continues.
#[must_use = "the content is still to be read"]
pub struct Content {
    state: State,
    /// Bytes that have arrived and were not read.
    buffer: Bytes,
    range: (u64, Option<u64>),
    /// The number of bytes that have arrived.
    arrived: u64,
    info: ContentInfo,
    location: Location,
}

enum State {
    Ready(Box<Body>),
    Receiving(BoxFuture<'static, (Box<Body>, Result<Option<Bytes>>)>),
    Ended,
}

impl Content {
    /// The content up to `end`, or the end of the image, of which `answer` has the first bytes.
    pub(crate) fn new(
        location: Location,
        answer: ContentResponse,
        end: Option<u64>,
        retries: Retries,
        meter: Meter,
    ) -> Self {
        let info = ContentInfo::of(&answer);
        let body = Body::new(location.clone(), answer, end, retries, meter);
        Self {
            buffer: Bytes::new(),
            range: (body.start, body.end),
            arrived: 0,
            state: State::Ready(Box::new(body)),
            info,
            location,
        }
    }

    /// Fails at the end if the content has another digest.
    pub(crate) fn verify(mut self, expected: Digest) -> Self {
        if let State::Ready(body) = self.state {
            self.state = State::Ready(Box::new(body.verify(expected)));
        }
        self
    }

    /// Returns the length of this content in bytes: that of the range, if one was asked for.
    /// `None` if the server does not send it.
    pub fn length(&self) -> Option<u64> {
        let (start, end) = self.range;
        end.map(|end| end - start)
    }

    /// Returns the position of this content in the image. `None` if the server does not send
    /// where it ends.
    pub fn range(&self) -> Option<Range<u64>> {
        let (start, end) = self.range;
        end.map(|end| start..end)
    }

    /// Returns the length of the whole image in bytes.
    pub fn total(&self) -> Option<u64> {
        self.info.length
    }

    /// Returns the time of the image's last change, in whole seconds. A Djinn CI server sends the
    /// time of its creation.
    pub fn last_modified(&self) -> Option<Timestamp> {
        self.info.last_modified
    }

    /// Returns the length, the type and the version of the whole image.
    pub fn info(&self) -> &ContentInfo {
        &self.info
    }

    /// Returns the headers of a response that passes this content on, such as a proxy's:
    /// `Content-Type`, `Content-Length`, `Accept-Ranges`, `ETag` or else `Last-Modified`, and
    /// `Content-Range` if this is a part of the image. The status of such a response is 206 if
    /// there is a `Content-Range`, and else 200.
    ///
    /// ```
    /// use machine_images::http::{StatusCode, header::CONTENT_RANGE};
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let content = images.content(42).range_header("bytes=0-511").await?;
    /// let headers = content.headers();
    /// let status = match headers.contains_key(CONTENT_RANGE) {
    ///     true => StatusCode::PARTIAL_CONTENT,
    ///     false => StatusCode::OK,
    /// };
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "proxy")]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name, text: Option<String>| {
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(name, value);
            }
        };
        let ContentInfo {
            etag, validator, ..
        } = &self.info;
        set(CONTENT_TYPE, Some(self.info.media_type.clone()));
        set(
            CONTENT_LENGTH,
            self.length().map(|length| length.to_string()),
        );
        set(ACCEPT_RANGES, Some("bytes".to_owned()));
        set(ETAG, etag.clone());
        set(LAST_MODIFIED, validator.clone().filter(|_| etag.is_none()));
        let total = self.total();
        let is_part = |range: &Range<u64>| total.is_none_or(|total| *range != (0..total));
        if let Some(range) = self.range().filter(is_part) {
            let total = total.map_or("*".to_owned(), |total| total.to_string());
            let range = format!("bytes {}-{}/{total}", range.start, range.end - 1);
            set(CONTENT_RANGE, Some(range));
        }
        headers
    }

    /// Returns the next bytes, or `None` at the end.
    ///
    /// # Errors
    ///
    /// See [`Content`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if !self.buffer.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.buffer))));
        }
        let mut receiving = match std::mem::replace(&mut self.state, State::Ended) {
            State::Ready(mut body) => async {
                let next = body.next().await;
                (body, next)
            }
            .boxed(),
            State::Receiving(receiving) => receiving,
            State::Ended => return Poll::Ready(Ok(None)),
        };
        match receiving.poll_unpin(cx) {
            Poll::Ready((body, Ok(Some(chunk)))) => {
                self.state = State::Ready(body);
                self.arrived += chunk.len() as u64;
                Poll::Ready(Ok(Some(chunk)))
            }
            Poll::Ready((_, end)) => Poll::Ready(end),
            Poll::Pending => {
                self.state = State::Receiving(receiving);
                Poll::Pending
            }
        }
    }

    /// Collects the content in memory, up to 64 MiB.
    ///
    /// # Errors
    ///
    /// As [`bytes_up_to`](Self::bytes_up_to).
    pub async fn bytes(self) -> Result<Bytes> {
        self.bytes_up_to(MAX_COLLECTED).await
    }

    /// Collects the content in memory, up to `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`Limit`](ErrorKind::Limit) if it is longer, at once if the server sends its length; and
    /// those of [`Content`].
    pub async fn bytes_up_to(mut self, limit: u64) -> Result<Bytes> {
        if self.length().is_some_and(|length| length > limit) {
            return Err(self.larger_than(limit));
        }
        let mut all = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if (all.len() + chunk.len()) as u64 > limit {
                return Err(self.larger_than(limit));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    fn larger_than(&self, limit: u64) -> Error {
        let message = format!("the content is larger than {limit} bytes");
        Error::plain(ErrorKind::Limit, message).during(&self.location.operation)
    }
}

impl Stream for Content {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx).map(Result::transpose)
    }
}

impl AsyncBufRead for Content {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.buffer.is_empty() {
            match ready!(this.poll_chunk(cx)) {
                Ok(Some(chunk)) => this.buffer = chunk,
                Ok(None) => break,
                Err(error) => return Poll::Ready(Err(io_error(error))),
            }
        }
        Poll::Ready(Ok(&this.buffer))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        let amount = amount.min(self.buffer.len());
        self.buffer.advance(amount);
    }
}

impl AsyncRead for Content {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        read_from_buffer(self, cx, into)
    }
}

/// Sends the content on as it arrives, at the pace of the upload. If some of it was read before, only
/// the rest is sent, which the upload's default policy rejects. While the content is resumed, the
/// upload waits, without a [time limit](crate::ClientBuilder::stall_timeout).
impl From<Content> for Source {
    fn from(content: Content) -> Self {
        let read = content.arrived - content.buffer.len() as u64;
        let length = content.length().map(|length| length.saturating_sub(read));
        Self::content(content, length)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("path", &self.location.path.join("/"))
            .field("range", &self.range)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// Reads what is buffered, and fills the buffer if it is empty.
pub(super) fn read_from_buffer<R: AsyncBufRead>(
    mut reader: Pin<&mut R>,
    cx: &mut Context<'_>,
    into: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let from = ready!(reader.as_mut().poll_fill_buf(cx))?;
    let count = from.len().min(into.remaining());
    into.put_slice(&from[..count]);
    reader.consume(count);
    Poll::Ready(Ok(()))
}

pub(super) fn io_error(error: Error) -> io::Error {
    let kind = match error.kind() {
        ErrorKind::Timeout | ErrorKind::Stalled => io::ErrorKind::TimedOut,
        ErrorKind::Length => io::ErrorKind::UnexpectedEof,
        ErrorKind::Transport => io::ErrorKind::ConnectionReset,
        ErrorKind::DigestMismatch => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
