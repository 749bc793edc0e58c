//! Getting one image.

use reqwest::Method;

use super::images::{Images, operation};
use super::model::{Image, ImageId};
use crate::call::awaitable;
use crate::error::Result;

impl Images {
    /// Gets the record of one image.
    ///
    /// `Endpoint: GET /v3/image/:image_id`
    ///
    /// The login needs `read_images`.
    ///
    /// ```
    /// # async fn example(images: machine_images::devops::Images) -> machine_images::Result<()> {
    /// let image = images.get("ami-63071b0a").await?;
    /// println!("{} at {}", image.name, image.provider);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get(&self, id: impl Into<ImageId>) -> Get {
        Get {
            images: self.clone(),
            id: id.into(),
        }
    }

    pub(super) async fn fetch(&self, id: &ImageId) -> Result<Image> {
        let request = self.request(Method::GET, id)?;
        self.transport.fetch(request).await?.json()
    }
}

/// A builder that gets one image: see [`Images::get`].
#[derive(Clone, Debug)]
#[must_use = "`get` does nothing unless awaited"]
pub struct Get {
    images: Images,
    id: ImageId,
}

impl Get {
    /// Sends the request. Awaiting the builder does the same.
    ///
    /// # Errors
    ///
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such image.
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) for an id that a URL cannot carry.
    /// - [`UnknownRoute`](crate::ErrorKind::UnknownRoute) for an id with a slash on version 2.
    /// - [Errors of every call](super#errors).
    pub async fn send(self) -> Result<Image> {
        let operation = operation("get image", &self.id);
        operation.run(self.images.fetch(&self.id)).await
    }
}

awaitable!(Get, send -> Image);
