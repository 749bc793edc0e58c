//! Deleting an image.

use reqwest::Method;

use super::images::Images;
use super::model::ImageId;
use crate::call::awaitable;
use crate::error::Result;
use crate::operation::Operation;
use crate::transport::{Request, Transport};

impl Images {
    /// Deletes one image and its content.
    ///
    /// `Endpoint: DELETE /images/:id`
    ///
    /// The token needs `image:write`; the written API says `image:delete`.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// images.delete(42).await?;
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

/// A builder that deletes one image: see [`Images::delete`].
#[derive(Clone, Debug)]
#[must_use = "`delete` does nothing unless awaited"]
pub struct Delete {
    transport: Transport,
    id: ImageId,
}

impl Delete {
    /// Sends the request. Awaiting the builder does the same.
    ///
    /// Succeeds also if a response was lost and the repeated request finds no image.
    ///
    /// # Errors
    ///
    /// - [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) if there is no such
    ///   image, or the token is wrong or lacks `image:write`:
    ///   [`check`](super::Client::check) tells which.
    /// - [`UnexpectedContent`](crate::ErrorKind::UnexpectedContent) or
    ///   [`Decode`](crate::ErrorKind::Decode) for a 2xx response that is not from the API, such as a
    ///   captive portal's.
    pub async fn send(self) -> Result<()> {
        let operation = Operation::new("delete image").on(self.id);
        operation.run(self.delete()).await
    }

    async fn delete(self) -> Result<()> {
        let request = Request::new(Method::DELETE).path(["images", &self.id.to_string()])?;
        match self.transport.fetch(request).await {
            Err(error)
                if error.status() == Some(404) && error.attempts() > 1 && error.is_from_api() =>
            {
                Ok(())
            }
            response => response?.nothing(),
        }
    }
}

awaitable!(Delete, send -> ());
