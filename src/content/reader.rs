//! Contents as an `AsyncRead`.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::Stream;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::Content;
use crate::error::{Error, ErrorKind, Result};

/// Reads contents: see [`Content::reader`].
///
/// ```
/// use tokio::io::AsyncReadExt;
///
/// # async fn example(images: machine_images::djinn::Images) -> Result<(), Box<dyn std::error::Error>> {
/// let mut magic = [0; 4];
/// let mut reader = images.content(42).send().await?.reader();
/// reader.read_exact(&mut magic).await?;
/// # Ok(())
/// # }
/// ```
pub struct ContentReader {
    chunks: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
    buffer: Bytes,
}

impl ContentReader {
    pub(super) fn new(content: Content) -> Self {
        Self {
            chunks: Box::pin(content.stream()),
            buffer: Bytes::new(),
        }
    }
}

impl AsyncBufRead for ContentReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.buffer.is_empty() {
            match ready!(this.chunks.as_mut().poll_next(cx)) {
                Some(Ok(chunk)) => this.buffer = chunk,
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => break,
            }
        }
        Poll::Ready(Ok(&this.buffer))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        this.buffer.advance(amount.min(this.buffer.len()));
    }
}

impl AsyncRead for ContentReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        read_from_buffer(self, cx, into)
    }
}

/// Reads what has been buffered, and buffers if nothing has.
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

impl fmt::Debug for ContentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentReader").finish_non_exhaustive()
    }
}

pub(super) fn io_error(error: Error) -> io::Error {
    let kind = match error.kind() {
        ErrorKind::Timeout | ErrorKind::Stalled => io::ErrorKind::TimedOut,
        ErrorKind::Length => io::ErrorKind::UnexpectedEof,
        ErrorKind::Transport => io::ErrorKind::ConnectionReset,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
