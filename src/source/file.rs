//! Files as sources: opened once, and read ahead of the socket.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{self, StreamExt};
use tokio::task::spawn_blocking;

use super::chunks::Chunks;
use crate::file::open_regular;

const CHUNK: usize = 512 * 1024;
/// The alignment of read buffers. The system may take twice as long to read into memory that is
/// not aligned, and large allocations usually are not.
const ALIGN: usize = 64;

/// A regular file, opened once, so that every attempt sends the file that was inspected.
#[derive(Clone)]
pub(super) struct OpenFile {
    file: Arc<File>,
    path: PathBuf,
}

impl OpenFile {
    /// Opens a regular file.
    pub(super) async fn open(path: PathBuf) -> io::Result<Self> {
        let opened = spawn_blocking(move || {
            let file = open_regular(&path).map_err(|error| with_path(&path, &error))?;
            let file = Arc::new(file);
            Ok(Self { file, path })
        });
        opened.await.map_err(io::Error::other)?
    }

    /// Runs blocking work on the file.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Self { file, path } = self.clone();
        let worked = spawn_blocking(move || work(&file).map_err(|error| with_path(&path, &error)));
        worked.await.map_err(io::Error::other)?
    }

    /// Returns the length and the content of the file.
    ///
    /// Each read is a separate blocking task, so that no thread is held while the socket is slow;
    /// one read is always ahead.
    pub(super) async fn read(self) -> io::Result<(u64, Chunks)> {
        let length = self.with(|file| Ok(file.metadata()?.len())).await?;
        let reader = Reader {
            file: self,
            position: 0,
            sent: VecDeque::new(),
        };
        let first = spawn_blocking(|| reader.next());
        let chunks = stream::try_unfold(Some(first), |reading| async {
            let Some(reading) = reading else {
                return Ok(None);
            };
            let (reader, chunk) = reading.await.map_err(io::Error::other)??;
            Ok(chunk.map(|chunk| (chunk, Some(spawn_blocking(|| reader.next())))))
        });
        Ok((length, chunks.boxed()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(unix)]
fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, at)
}

#[cfg(windows)]
fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, at)
}

/// Adds the path to the text of an error.
fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

struct Reader {
    file: OpenFile,
    position: u64,
    /// Clones of the chunks handed out. Their memory is reused once they have been sent.
    sent: VecDeque<Bytes>,
}

impl Reader {
    /// Returns the next chunk, and the reader for the one after it.
    fn next(mut self) -> io::Result<(Self, Option<Bytes>)> {
        let mut buffer = match self.sent.front() {
            Some(first) if first.is_unique() => self.sent.pop_front().map(BytesMut::from),
            _ => None,
        }
        .unwrap_or_else(aligned_buffer);
        buffer.resize(CHUNK, 0);
        let count = loop {
            match read_at(&self.file.file, &mut buffer, self.position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(with_path(&self.file.path, &error)),
                Ok(count) => break count,
            }
        };
        self.position += count as u64;
        buffer.truncate(count);
        let chunk = buffer.freeze();
        self.sent.push_back(chunk.clone());
        Ok((self, (count > 0).then_some(chunk)))
    }
}

fn aligned_buffer() -> BytesMut {
    let mut buffer = BytesMut::zeroed(CHUNK + ALIGN);
    let padding = buffer.as_ptr().align_offset(ALIGN);
    buffer.advance(padding.min(ALIGN));
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_in_order_into_memory_that_is_used_again() {
        let contents: Vec<u8> = (0..5 * CHUNK + 7).map(|at| (at / 1000) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &contents).unwrap();
        let opened = OpenFile::open(file.path().to_owned()).await.unwrap();
        let (length, mut chunks) = opened.read().await.unwrap();
        assert_eq!(length, contents.len() as u64);
        let (mut read, mut addresses) = (Vec::new(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.unwrap();
            read.extend_from_slice(&chunk);
            addresses.push(chunk.as_ptr() as usize);
        }
        assert!(read == contents);
        assert!(
            addresses.iter().all(|address| address % ALIGN == 0),
            "{addresses:?}"
        );
        addresses.sort_unstable();
        addresses.dedup();
        assert!(addresses.len() <= 3, "{addresses:?}");
    }
}
