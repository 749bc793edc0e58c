//! Deleting an image.

use reqwest::Method;

use super::get;
use super::images::Images;
use super::model::ImageId;
use super::user::user;
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
    /// Succeeds also if the request had to be repeated and there is no such image, as an earlier
    /// attempt may have deleted it: two more requests tell that from a wrong token.
    ///
    /// # Errors
    ///
    /// - [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) if there is no such
    ///   image, or the token is wrong or lacks `image:write`: [`check`](super::Client::check) tells
    ///   whether it is wrong, and [`get`](Images::get), which needs no scope, whether there is one.
    /// - [`Unauthorized`](crate::ErrorKind::Unauthorized) if the request had to be repeated and the
    ///   token is wrong.
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
            // An earlier attempt may have deleted it. The same response tells of a bad token.
            Err(error)
                if error.status() == Some(404) && error.attempts() > 1 && error.is_from_api() =>
            {
                match get::fetch(&self.transport, self.id).await {
                    Ok(_) => Err(error),
                    Err(missing) if missing.status() == Some(404) && missing.is_from_api() => {
                        let me = user(&self.transport).await;
                        me.map(drop).map_err(|unknown| unknown.attempts_of(&error))
                    }
                    Err(unknown) => Err(unknown.attempts_of(&error)),
                }
            }
            response => response?.nothing(),
        }
    }
}

awaitable!(Delete, send -> ());
