//! Files as sources: opened once, and read ahead of the socket.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use tokio::task::spawn_blocking;

use super::buffers::Buffers;
use super::chunks::Chunks;
use crate::file::open_regular;

/// A regular file, opened once, so that every attempt sends the file that was inspected.
#[derive(Clone)]
pub(super) struct OpenFile {
    file: Arc<File>,
    path: PathBuf,
}

impl OpenFile {
    /// Opens a regular file.
    pub(super) async fn open(path: PathBuf) -> io::Result<Self> {
        Self::open_by(open_regular, path).await
    }

    /// Opens a file in a way that blocks.
    pub(super) async fn open_by(
        open: fn(&Path) -> io::Result<File>,
        path: PathBuf,
    ) -> io::Result<Self> {
        let opened = spawn_blocking(move || {
            let file = open(&path).map_err(|error| with_path(&path, &error))?;
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
            buffers: Buffers::default(),
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

/// Reads at an offset, once.
pub(super) fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(file, into, at);
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(file, into, at);
        match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Adds the path to the text of an error.
fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

struct Reader {
    file: OpenFile,
    position: u64,
    buffers: Buffers,
}

impl Reader {
    /// Returns the next chunk, and the reader for the one after it.
    fn next(mut self) -> io::Result<(Self, Option<Bytes>)> {
        let mut buffer = self.buffers.take();
        let count = read_at(&self.file.file, &mut buffer, self.position)
            .map_err(|error| with_path(&self.file.path, &error))?;
        self.position += count as u64;
        buffer.truncate(count);
        let chunk = self.buffers.freeze(buffer);
        Ok((self, (count > 0).then_some(chunk)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::buffers::CHUNK;
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
        addresses.sort_unstable();
        addresses.dedup();
        assert!(addresses.len() <= 3, "{addresses:?}");
    }
}
