//! One image's metadata.

use reqwest::Method;

use super::{Image, ImageId, Images};
use crate::error::Result;
use crate::operation::Operation;
use crate::transport::{Request, Transport};

impl Images {
    /// Reads one image's metadata.
    ///
    /// `Endpoint: GET /images/:id`
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let image = images.get(42).send().await?;
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

/// Reads one image's metadata: see [`Images::get`].
#[derive(Clone)]
#[must_use = "nothing is sent before `send`"]
pub struct Get {
    transport: Transport,
    id: ImageId,
}

impl Get {
    /// Sends the request.
    ///
    /// # Errors
    ///
    /// [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) if there is no such
    /// image for this token; [`Server`](crate::ErrorKind::Server) also for an id above 2^31 - 1.
    pub async fn send(self) -> Result<Image> {
        let operation = Operation::new("get image").on(self.id);
        operation.run(fetch(&self.transport, self.id)).await
    }
}

/// `GET /images/:id`
pub(super) async fn fetch(transport: &Transport, id: ImageId) -> Result<Image> {
    let request = Request::new(Method::GET).path(["images", &id.to_string()])?;
    transport.fetch(request).await?.json()
}
