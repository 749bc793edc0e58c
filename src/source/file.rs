//! Files that are sent: read by a thread that is ahead of the socket.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::Chunks;

const CHUNK: usize = 512 * 1024;
/// How many chunks may wait for the socket, besides the one that is being read.
const AHEAD: usize = 1;
/// A read into memory that begins elsewhere, as what an allocator gives for so much does, may take
/// the system twice as long.
const ALIGN: usize = 64;

/// Its length and its contents. Whoever drops these ends the reading.
pub(super) async fn open(path: PathBuf) -> io::Result<(u64, Chunks)> {
    let opened =
        spawn_blocking(move || Reader::open(&path).map_err(|error| named(&path, &error))).await;
    let (length, mut reader) = opened.map_err(io::Error::other)??;
    let (give, mut take) = mpsc::channel(AHEAD);
    spawn_blocking(move || {
        while let Some(chunk) = reader.next().transpose() {
            let is_last = chunk.is_err();
            if give.blocking_send(chunk).is_err() || is_last {
                break;
            }
        }
    });
    Ok((
        length,
        stream::poll_fn(move |cx| take.poll_recv(cx)).boxed(),
    ))
}

/// The same error with the file's name.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

struct Reader {
    file: File,
    /// Clones of what was handed out, whose memory is used again once it was sent.
    sent: VecDeque<Bytes>,
}

impl Reader {
    fn open(path: &Path) -> io::Result<(u64, Self)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let sent = VecDeque::new();
        Ok((metadata.len(), Self { file, sent }))
    }

    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut buffer = match self.sent.front() {
            Some(first) if first.is_unique() => self.sent.pop_front().map(BytesMut::from),
            _ => None,
        }
        .unwrap_or_else(aligned);
        buffer.resize(CHUNK, 0);
        let count = loop {
            match self.file.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        buffer.truncate(count);
        let chunk = buffer.freeze();
        self.sent.push_back(chunk.clone());
        Ok((count > 0).then_some(chunk))
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
        let (length, mut chunks) = open(file.path().to_owned()).await.unwrap();
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
        assert!(places.len() <= 2 + AHEAD, "{places:?}");
    }
}
