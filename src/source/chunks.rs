//! The chunks of a source.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The size of one read from a reader, large enough that the cost of system calls does not count.
const CHUNK: usize = 256 * 1024;

pub(crate) type Chunks = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Reads a reader up to its end.
pub(super) fn read_chunks(reader: Pin<Box<dyn AsyncRead + Send>>) -> Chunks {
    stream::try_unfold(
        (reader, BytesMut::new()),
        |(mut reader, mut buffer)| async {
            // Reuses the memory of the last chunk if that has been sent by now.
            buffer.reserve(CHUNK);
            let count = reader.read_buf(&mut buffer).await?;
            let chunk = buffer.split().freeze();
            Ok((count > 0).then_some((chunk, (reader, buffer))))
        },
    )
    .boxed()
}

/// Keeps an I/O error as it is, so that its kind and text are not wrapped once more.
pub(super) fn into_io(error: Box<dyn StdError + Send + Sync>) -> io::Error {
    match error.downcast() {
        Ok(error) => *error,
        Err(error) => io::Error::other(error),
    }
}
