//! Creation.

use reqwest::Method;

use super::{Call, Created, Images, NewImage};
use crate::error::Result;
use crate::operation::Operation;
use crate::transport::{Request, check_segment};

impl Images {
    /// Makes an image that a provider has known to the service.
    ///
    /// `Endpoint: POST /v3/image`
    ///
    /// The login needs `create_image`.
    ///
    /// ```
    /// use machine_images::devops::NewImage;
    ///
    /// # async fn example(images: machine_images::devops::Images) -> machine_images::Result<()> {
    /// let image = NewImage::new("ami-63071b0a", "ec2", "ec2-user", "debian-12");
    /// let created = images.create(image).send().await?;
    /// println!("{}", created.message.unwrap_or_default());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Rejected`](crate::ErrorKind::Rejected) if the service does not take the record, such as
    /// for its provider or an id that is known already;
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the connection breaks before the
    /// answer: [`get`](Images::get) tells;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an id that a URL cannot carry, because
    /// such an image could be neither shown nor deleted; and those of [`Call::send`].
    pub fn create(&self, image: NewImage) -> Call<Created> {
        let operation = Operation::new("create image").on(format!("{:?}", image.id.as_str()));
        self.call(operation, request(&image))
    }
}

fn request(image: &NewImage) -> Result<Request> {
    check_segment(image.id.as_str())?;
    Request::new(Method::POST)
        .path(["v3", "image"])?
        .json(image)
}
