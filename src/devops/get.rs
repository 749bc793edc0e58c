//! One image.

use reqwest::Method;

use super::call::operation;
use super::{Call, Image, ImageId, Images};

impl Images {
    /// Fetches one image.
    ///
    /// `Endpoint: GET /v3/image/:image_id`
    ///
    /// The login needs `read_images`.
    ///
    /// ```
    /// # async fn example(images: machine_images::devops::Images) -> machine_images::Result<()> {
    /// let image = images.get("ami-63071b0a").send().await?;
    /// println!("{} at {}", image.name, image.provider);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such image;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an id that a URL cannot carry;
    /// [`UnknownRoute`](crate::ErrorKind::UnknownRoute) for an id with a slash on version 2; and
    /// those of [`Call::send`].
    pub fn get(&self, id: impl Into<ImageId>) -> Call<Image> {
        let id = id.into();
        let request = self.on_image(Method::GET, &id);
        self.call(operation("get image", &id), request)
    }
}
