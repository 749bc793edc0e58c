//! Files that are sent: opened once, and read ahead of the socket.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{self, StreamExt};
use tokio::task::spawn_blocking;

use super::Chunks;

const CHUNK: usize = 512 * 1024;
/// A read into memory that begins elsewhere, as what an allocator gives for so much does, may take
/// the system twice as long.
const ALIGN: usize = 64;

/// A regular file, opened once: what is inspected of it is what is sent, however often.
#[derive(Clone)]
pub(super) struct OpenFile {
    file: Arc<File>,
    path: PathBuf,
}

impl OpenFile {
    /// Opens a file without waiting for anything, as a FIFO would have it.
    pub(super) async fn open(path: PathBuf) -> io::Result<Self> {
        let opened = spawn_blocking(move || {
            let mut options = File::options();
            options.read(true);
            no_wait(&mut options);
            let file = options.open(&path).and_then(regular);
            let file = file.map_err(|error| named(&path, &error))?.into();
            Ok(Self { file, path })
        });
        opened.await.map_err(io::Error::other)?
    }

    /// Does something that blocks with the file.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Self { file, path } = self.clone();
        let worked = spawn_blocking(move || work(&file).map_err(|error| named(&path, &error)));
        worked.await.map_err(io::Error::other)?
    }

    /// Its length and its contents. Each read is a job of its own, so that none keeps a thread from
    /// others while the socket is waited for; one is always ahead.
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

fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

#[cfg(unix)]
fn no_wait(options: &mut std::fs::OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;

    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
}

#[cfg(windows)]
fn no_wait(_: &mut std::fs::OpenOptions) {}

#[cfg(unix)]
fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, at)
}

#[cfg(windows)]
fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, at)
}

/// The same error with the file's name.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

struct Reader {
    file: OpenFile,
    position: u64,
    /// Clones of what was handed out, whose memory is used again once it was sent.
    sent: VecDeque<Bytes>,
}

impl Reader {
    /// The next chunk, and what reads the one after it.
    fn next(mut self) -> io::Result<(Self, Option<Bytes>)> {
        let mut buffer = match self.sent.front() {
            Some(first) if first.is_unique() => self.sent.pop_front().map(BytesMut::from),
            _ => None,
        }
        .unwrap_or_else(aligned);
        buffer.resize(CHUNK, 0);
        let count = loop {
            match read_at(&self.file.file, &mut buffer, self.position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(named(&self.file.path, &error)),
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

fn aligned() -> BytesMut {
    let mut buffer = BytesMut::zeroed(CHUNK + ALIGN);
    let skipped = buffer.as_ptr().align_offset(ALIGN);
    buffer.advance(skipped.min(ALIGN));
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
        let (mut read, mut places) = (Vec::new(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.unwrap();
            read.extend_from_slice(&chunk);
            places.push(chunk.as_ptr() as usize);
        }
        assert!(read == contents);
        assert!(places.iter().all(|place| place % ALIGN == 0), "{places:?}");
        places.sort_unstable();
        places.dedup();
        assert!(places.len() <= 3, "{places:?}");
    }
}
