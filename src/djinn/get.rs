//! One image's metadata.

use reqwest::Method;

use super::{Image, ImageId, Images};
use crate::error::Result;
use crate::transport::{Request, Transport};

const OPERATION: &str = "get image";

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
        let request = request(OPERATION, self.id)?;
        self.transport.fetch(request).await?.json()
    }
}

/// `GET /images/:id`
pub(super) fn request(operation: &'static str, id: ImageId) -> Result<Request> {
    Request::new(operation, Method::GET).path(["images", &id.to_string()])
}
