//! The content of an image that passes from one server to another.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::{Stream, stream};

use crate::content::Body;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::hashing::Hashing;

/// The content on its way.
pub(super) struct Passing {
    pub(super) body: Body,
    /// The first bytes, which were inspected.
    held: Bytes,
    /// Others that were inspected, by requests of their own, and their places: they must be the same.
    apart: Vec<(u64, Bytes)>,
    bytes: u64,
    hashing: Hashing,
    expected: Option<Digest>,
    /// The length and the digest, once all is well.
    pub(super) passed: Arc<OnceLock<(u64, Digest)>>,
}

impl Passing {
    pub(super) fn new(
        body: Body,
        held: Bytes,
        apart: Vec<(u64, Bytes)>,
        expected: Option<Digest>,
    ) -> Self {
        Self {
            body,
            held,
            apart,
            bytes: 0,
            hashing: Hashing::default(),
            expected,
            passed: Arc::default(),
        }
    }

    /// The upload holds the last chunk back until the stream has ended without an error.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send {
        stream::try_unfold(self, |mut passing| async {
            let chunk = passing.next().await?;
            Ok(chunk.map(|chunk| (chunk, passing)))
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let chunk = match self.held.is_empty() {
            true => self.body.next().await?,
            false => Some(std::mem::take(&mut self.held)),
        };
        let Some(chunk) = chunk else {
            let sha256 = std::mem::take(&mut self.hashing).finish().await?;
            if let Some(expected) = self.expected {
                sha256.expect(expected)?;
            }
            self.passed.get_or_init(|| (self.bytes, sha256));
            return Ok(None);
        };
        self.check(&chunk)?;
        self.bytes += chunk.len() as u64;
        self.hashing.update(chunk.clone()).await?;
        Ok(Some(chunk))
    }

    /// Fails if the next chunk has other bytes than were inspected.
    fn check(&self, chunk: &[u8]) -> Result<()> {
        let end = self.bytes + chunk.len() as u64;
        let is_same = self.apart.iter().all(|(place, bytes)| {
            let last = place + bytes.len() as u64;
            let (from, to) = (self.bytes.max(*place), end.min(last));
            let part = |of: u64| (from - of) as usize..(to - of) as usize;
            from >= to || chunk[part(self.bytes)] == bytes[part(*place)]
        });
        match is_same {
            true => Ok(()),
            false => {
                let message = "the server sends other bytes than it showed to the inspection";
                Err(Error::plain(ErrorKind::Changed, message))
            }
        }
    }
}
