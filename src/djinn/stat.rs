//! The length and the version of an image's content.

use super::{ImageId, Images};
use crate::call::awaitable;
use crate::content::ContentInfo;
use crate::error::Result;
use crate::operation::Operation;

impl Images {
    /// Gets the length, the type and the version of an image's content, in one small request.
    ///
    /// `Endpoint: GET /images/:id` with `Accept: application/x-qemu-disk` and `Range: bytes=0-0`,
    /// since the server does not support `HEAD`
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let info = images.stat(42).await?;
    /// println!("{:?} bytes, last modified {:?}", info.length, info.last_modified);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "head")]
    #[doc(alias = "size")]
    #[doc(alias = "etag")]
    pub fn stat(&self, id: impl Into<ImageId>) -> Stat {
        Stat {
            images: self.clone(),
            id: id.into(),
        }
    }
}

/// A builder that gets the length and version of an image's content: see [`Images::stat`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent unless this is awaited"]
pub struct Stat {
    images: Images,
    id: ImageId,
}

impl Stat {
    /// Sends the request.
    ///
    /// # Errors
    ///
    /// Those of [`GetContent::send`](super::GetContent::send).
    pub async fn send(self) -> Result<ContentInfo> {
        let operation = Operation::new("stat image").on(self.id);
        let location = self.images.location(operation.clone(), self.id);
        operation.run(location.stat()).await
    }
}

awaitable!(Stat, send -> ContentInfo);
