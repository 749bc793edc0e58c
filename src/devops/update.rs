//! Changes to an image.

use reqwest::Method;
use serde::Serialize;

use super::call::on_image;
use super::{ImageId, Images, Updated};
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::transport::Request;

impl Images {
    /// Changes what is set of an image's remote user and name, and leaves the rest as it is.
    ///
    /// `Endpoint: PUT /v3/image/:image_id`
    ///
    /// The login needs `create_image`.
    ///
    /// ```
    /// # async fn example(images: machine_images::devops::Images) -> machine_images::Result<()> {
    /// let updated = images.update("ami-63071b0a").remote_user("admin").send().await?;
    /// if let Some(image) = updated.image {
    ///     println!("{} is logged in to as {}", image.name, image.remote_user);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn update(&self, id: impl Into<ImageId>) -> Update {
        Update {
            images: self.clone(),
            id: id.into(),
            changes: Changes::default(),
        }
    }
}

/// Changes an image: see [`Images::update`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Update {
    images: Images,
    id: ImageId,
    changes: Changes,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Changes {
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl Update {
    /// Sets the user to log in as on a machine made of the image.
    pub fn remote_user(mut self, user: impl Into<String>) -> Self {
        self.changes.remote_user = Some(user.into());
        self
    }

    /// Sets the name; an empty one is a name, too.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.changes.name = Some(name.into());
        self
    }

    /// Sends the changes. Doing so twice changes nothing more, so they are sent again like
    /// whatever only reads.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) before a byte is sent if nothing is set,
    /// or for an id that a URL cannot carry; [`NotFound`](crate::ErrorKind::NotFound) if there is
    /// no such image; [`Rejected`](crate::ErrorKind::Rejected) if the service does not take the
    /// values; and those of [`Call::send`](super::Call::send).
    pub async fn send(self) -> Result<Updated> {
        let operation = Operation::new("update image").on(format!("{:?}", self.id.as_str()));
        self.images.call(operation, self.request()).send().await
    }

    fn request(&self) -> Result<Request> {
        if self.changes == Changes::default() {
            let why = "neither a remote user nor a name is set";
            return Err(Error::invalid(why));
        }
        on_image(Method::PUT, &self.id)?.json(&self.changes)
    }
}
