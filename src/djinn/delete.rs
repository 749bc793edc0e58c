//! The end of an image.

use reqwest::Method;

use super::{ImageId, Images};
use crate::error::Result;
use crate::operation::Operation;
use crate::transport::{Request, Transport};

impl Images {
    /// Deletes one image, its contents included.
    ///
    /// `Endpoint: DELETE /images/:id`
    ///
    /// The token needs `image:write`; the written API says `image:delete`.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// images.delete(42).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete(&self, id: impl Into<ImageId>) -> Delete {
        Delete {
            transport: self.transport.clone(),
            id: id.into(),
        }
    }
}

/// Deletes one image: see [`Images::delete`].
#[derive(Clone)]
#[must_use = "nothing is sent before `send`"]
pub struct Delete {
    transport: Transport,
    id: ImageId,
}

impl Delete {
    /// Sends the request. If the answer to it is lost and a repeated one finds no image, that is
    /// success.
    ///
    /// # Errors
    ///
    /// [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) if there is no such
    /// image for this token; [`UnexpectedContent`](crate::ErrorKind::UnexpectedContent) or
    /// [`Decode`](crate::ErrorKind::Decode) for a success that is not of the API, such as the
    /// login page of a network.
    pub async fn send(self) -> Result<()> {
        let operation = Operation::new("delete image").on(self.id);
        operation.run(self.delete()).await
    }

    async fn delete(&self) -> Result<()> {
        let request = Request::new(Method::DELETE).path(["images", &self.id.to_string()])?;
        match self.transport.fetch(request).await {
            Err(error)
                if error.status() == Some(404) && error.attempts() > 1 && error.is_from_api() =>
            {
                Ok(())
            }
            answer => answer?.nothing(),
        }
    }
}
