//! Getting the metadata of an image.

use reqwest::Method;

use super::images::Images;
use super::model::{Image, ImageId};
use crate::call::awaitable;
use crate::error::Result;
use crate::operation::Operation;
use crate::transport::{Request, Transport};

impl Images {
    /// Gets the metadata of one image.
    ///
    /// `Endpoint: GET /images/:id`
    ///
    /// The token needs no scope. An image in no namespace is found only by its owner. For the bytes of the image, see [`content`](Self::content).
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let image = images.get(42).await?;
    /// println!("{} was created at {}", image.name, image.created_at);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get(&self, id: impl Into<ImageId>) -> Get {
        Get {
            transport: self.transport.clone(),
            id: id.into(),
        }
    }
}

/// A builder that gets the metadata of one image: see [`Images::get`].
#[derive(Clone, Debug)]
#[must_use = "`get` does nothing unless awaited"]
pub struct Get {
    transport: Transport,
    id: ImageId,
}

impl Get {
    /// Sends the request. Awaiting the builder does the same.
    ///
    /// # Errors
    ///
    /// - [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) if there is no such
    ///   image that the token's user can get, or the token is wrong:
    ///   [`check`](super::Client::check) tells whether it is.
    /// - [`Server`](crate::ErrorKind::Server) also for an id above 2^31 - 1.
    pub async fn send(self) -> Result<Image> {
        let operation = Operation::new("get image").on(self.id);
        operation.run(fetch(&self.transport, self.id)).await
    }
}

awaitable!(Get, send -> Image);

/// `GET /images/:id`
pub(super) async fn fetch(transport: &Transport, id: ImageId) -> Result<Image> {
    let request = Request::new(Method::GET).path(["images", &id.to_string()])?;
    transport.fetch(request).await?.json()
}
