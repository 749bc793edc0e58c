//! The digest of an image's content.

use super::{ImageId, Images};
use crate::call::awaitable;
use crate::digest::{Digest, Hasher};
use crate::error::Result;
use crate::operation::Operation;
use crate::progress::{Meter, Phase, ProgressListener};

impl Images {
    /// Computes the SHA-256 of an image's content, without keeping it.
    ///
    /// `Endpoint: GET /images/:id` with `Accept: application/x-qemu-disk`
    ///
    /// The server has no digests, so the whole content is fetched, and hashed as it arrives.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let computed = images.digest(42).await?;
    /// println!("{}  {} bytes", computed.sha256, computed.bytes);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "checksum")]
    #[doc(alias = "sha256")]
    #[doc(alias = "hash")]
    pub fn digest(&self, id: impl Into<ImageId>) -> ComputeDigest {
        ComputeDigest {
            images: self.clone(),
            id: id.into(),
            meter: Meter::default(),
        }
    }
}

/// A builder that computes the digest of an image's content: see [`Images::digest`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent unless this is awaited"]
pub struct ComputeDigest {
    images: Images,
    id: ImageId,
    meter: Meter,
}

/// The digest and the length of an image's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ContentDigest {
    /// The SHA-256.
    pub sha256: Digest,
    /// The number of bytes.
    pub bytes: u64,
}

impl ComputeDigest {
    /// Reports progress to `listener`.
    pub fn progress(mut self, listener: impl ProgressListener) -> Self {
        self.meter = Meter::new(Phase::Content, listener);
        self
    }

    /// Fetches the content, and returns its digest.
    ///
    /// # Errors
    ///
    /// Those of [`GetContent::send`](super::GetContent::send) and of [`Content`](crate::Content).
    pub async fn send(self) -> Result<ContentDigest> {
        let operation = Operation::new("compute digest of image").on(self.id);
        operation.run(self.compute()).await
    }

    async fn compute(self) -> Result<ContentDigest> {
        let mut content = self.images.content(self.id).meter(self.meter).await?;
        let (mut hasher, mut bytes) = (Hasher::default(), 0);
        while let Some(chunk) = content.chunk().await? {
            hasher.update(&chunk);
            bytes += chunk.len() as u64;
        }
        Ok(ContentDigest {
            sha256: hasher.finish(),
            bytes,
        })
    }
}

awaitable!(ComputeDigest, send -> ContentDigest);
