//! Files that are sent.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt};

use super::{CHUNK, Chunks};

/// One read on the thread that sends it: what is on its way fits the cache of a core.
const SMALL_CHUNK: usize = 64 * 1024;

/// Where a file is read.
#[derive(Clone, Copy)]
pub(super) enum Reading {
    /// On blocking threads: the one that sends has other work, too.
    Aside,
    /// Where it is sent.
    Here,
}

/// Its length and its contents.
pub(super) async fn open(path: PathBuf, reading: Reading) -> io::Result<(u64, Chunks)> {
    let (length, reader) = blocking(move || Reader::open(&path)).await?;
    let chunks = stream::try_unfold(reader, move |mut reader| async move {
        let (chunk, reader) = match reading {
            Reading::Here => (reader.next(SMALL_CHUNK)?, reader),
            Reading::Aside => blocking(move || Ok((reader.next(CHUNK)?, reader))).await?,
        };
        Ok(chunk.map(|chunk| (chunk, reader)))
    });
    Ok((length, chunks.boxed()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let result = tokio::task::spawn_blocking(work).await;
    result.map_err(io::Error::other)?
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

    fn next(&mut self, size: usize) -> io::Result<Option<Bytes>> {
        let free = match self.sent.front() {
            Some(first) if first.is_unique() => self.sent.pop_front(),
            _ => None,
        };
        let mut buffer = free.map_or_else(BytesMut::new, BytesMut::from);
        buffer.resize(size, 0);
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
