//! The end of an image.

use reqwest::Method;

use super::call::on_image;
use super::{Call, Deleted, ImageId, Images};
use crate::operation::Operation;

impl Images {
    /// Makes the service forget one image.
    ///
    /// `Endpoint: DELETE /v3/image/:image_id`
    ///
    /// The login needs `delete_image`. If the answer is lost and a repeated request finds no
    /// image, that is success, with the id that was asked for and no message.
    ///
    /// ```
    /// # async fn example(images: machine_images::devops::Images) -> machine_images::Result<()> {
    /// images.delete("ami-63071b0a").send().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such image;
    /// [`Rejected`](crate::ErrorKind::Rejected) if it is in use: the server's
    /// [`message`](crate::Error::message) says where, beginning with `Deleting is forbidden` in
    /// version 2. That has no kind of its own, because the status is that of every refusal and
    /// the words are no part of the written API;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an id that a URL cannot carry; and
    /// those of [`Call::send`].
    pub fn delete(&self, id: impl Into<ImageId>) -> Call<Deleted> {
        let id = id.into();
        let request = on_image(Method::DELETE, &id);
        let operation = Operation::new("delete image").on(format!("{:?}", id.as_str()));
        self.call(operation, request).if_gone(Deleted {
            id: Some(id),
            ..Deleted::default()
        })
    }
}
