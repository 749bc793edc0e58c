//! One image.

use reqwest::Method;

use super::call::on_image;
use super::{Call, Image, ImageId, Images};
use crate::operation::Operation;

impl Images {
    /// Shows one image.
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
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an id that a URL cannot carry; and
    /// those of [`Call::send`].
    pub fn get(&self, id: impl Into<ImageId>) -> Call<Image> {
        let id = id.into();
        let operation = Operation::new("get image").on(format!("{:?}", id.as_str()));
        self.call(operation, on_image(Method::GET, &id))
    }
}
