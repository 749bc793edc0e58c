//! Hashing beside a transfer that has one thread: it takes as long as receiving the bytes does.

use std::mem::take;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::digest::{Digest, Hasher};
use crate::error::Result;
use crate::join::lost;

/// The bytes that are worth waking another thread.
const BATCH: usize = 256 * 1024;

/// The digest of bytes in order. One batch is hashed while the next is collected.
#[derive(Default)]
pub(crate) struct Hashing {
    hasher: Hasher,
    collected: Vec<Bytes>,
    length: usize,
    /// A task for each batch, as a runtime may have few blocking threads.
    batch: Option<JoinHandle<Hasher>>,
}

impl Hashing {
    /// Adds bytes. Waits if an earlier batch is still being hashed.
    pub(crate) async fn update(&mut self, bytes: Bytes) -> Result<()> {
        self.length += bytes.len();
        self.collected.push(bytes);
        if self.length >= BATCH {
            self.wait().await?;
            self.length = 0;
            let (mut hasher, batch) = (take(&mut self.hasher), take(&mut self.collected));
            self.batch = Some(spawn_blocking(move || {
                batch.iter().for_each(|bytes| hasher.update(bytes));
                hasher
            }));
        }
        Ok(())
    }

    /// Returns the digest of all bytes.
    pub(crate) async fn finish(mut self) -> Result<Digest> {
        self.wait().await?;
        let mut hasher = self.hasher;
        self.collected.iter().for_each(|bytes| hasher.update(bytes));
        Ok(hasher.finish())
    }

    async fn wait(&mut self) -> Result<()> {
        if let Some(batch) = self.batch.take() {
            self.hasher = batch.await.map_err(lost)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_in_any_pieces_have_the_digest_of_the_whole() {
        let all: Vec<u8> = (0..5 * BATCH + 7).map(|at| (at / 1000) as u8).collect();
        for piece in [1000, BATCH - 1, BATCH, 3 * BATCH + 1, all.len()] {
            let mut hashing = Hashing::default();
            for bytes in all.chunks(piece) {
                hashing.update(Bytes::copy_from_slice(bytes)).await.unwrap();
            }
            assert_eq!(hashing.finish().await.unwrap(), Digest::of(&all), "{piece}");
        }
    }
}
