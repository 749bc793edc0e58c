//! Deleting an image.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use super::images::{Images, operation};
use super::model::ImageId;
use crate::call::awaitable;
use crate::error::{ErrorKind, Result};
use crate::model::Extra;
use crate::transport::JSON;

impl Images {
    /// Deletes the record of one image.
    ///
    /// `Endpoint: DELETE /v3/image/:image_id`
    ///
    /// The login needs `delete_image`. The image itself stays at its provider.
    ///
    /// ```
    /// # async fn example(images: machine_images::devops::Images) -> machine_images::Result<()> {
    /// images.delete("ami-63071b0a").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete(&self, id: impl Into<ImageId>) -> Delete {
        Delete {
            images: self.clone(),
            id: id.into(),
        }
    }
}

/// A builder that deletes one image: see [`Images::delete`].
#[derive(Clone, Debug)]
#[must_use = "`delete` does nothing unless awaited"]
pub struct Delete {
    images: Images,
    id: ImageId,
}

impl Delete {
    /// Sends the request. Awaiting the builder does the same.
    ///
    /// Succeeds also if the request had to be repeated and there is no such image, as an earlier
    /// attempt may have deleted it.
    ///
    /// # Errors
    ///
    /// - [`NotFound`](ErrorKind::NotFound) if there is no such image.
    /// - [`Rejected`](ErrorKind::Rejected) if the image is in use. The server's
    ///   [`message`](crate::Error::message) names the environments, and begins with `Deleting is
    ///   forbidden` on version 2.
    /// - [`InvalidInput`](ErrorKind::InvalidInput) for an id that a URL cannot carry.
    /// - [`UnknownRoute`](ErrorKind::UnknownRoute) for an id with a slash on version 2.
    /// - [Errors of every call](super#errors).
    pub async fn send(self) -> Result<()> {
        let operation = operation("delete image", &self.id);
        operation.run(self.delete()).await
    }

    async fn delete(self) -> Result<()> {
        let request = self.images.request(Method::DELETE, &self.id)?;
        // Version 2 requires the type of a body that there is not.
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static(JSON));
        match self.images.transport.fetch(request).await {
            // An unknown route is 404, too, and of another kind.
            Err(error) if error.kind() == ErrorKind::NotFound && error.attempts() > 1 => Ok(()),
            response => response?.json().map(|_: Extra| ()),
        }
    }
}

awaitable!(Delete, send -> ());
