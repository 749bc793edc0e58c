//! The end of an image.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use super::call::operation;
use super::{Call, Deleted, ImageId, Images};
use crate::transport::JSON;

impl Images {
    /// Deletes the record of one image.
    ///
    /// `Endpoint: DELETE /v3/image/:image_id`
    ///
    /// The login needs `delete_image`. The image itself stays at its provider.
    ///
    /// If the answer is lost and a repeated request finds no image, that is success, with the id
    /// that was asked for and no message.
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
    /// [`message`](crate::Error::message) names the environments, and begins with `Deleting is
    /// forbidden` in version 2. It has no kind of its own, because the status is that of every
    /// refusal and the words are no part of the written API;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an id that a URL cannot carry;
    /// [`UnknownRoute`](crate::ErrorKind::UnknownRoute) for an id with a slash on version 2; and
    /// those of [`Call::send`].
    pub fn delete(&self, id: impl Into<ImageId>) -> Call<Deleted> {
        let id = id.into();
        // Version 2 wants the type, though there is no body.
        let request = self.on_image(Method::DELETE, &id);
        let request =
            request.map(|request| request.header(CONTENT_TYPE, HeaderValue::from_static(JSON)));
        let operation = operation("delete image", &id);
        self.call(operation, request).if_gone(Deleted {
            id: Some(id),
            ..Deleted::default()
        })
    }
}
