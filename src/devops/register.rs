//! One request to register an image.

use reqwest::Method;

use super::images::Images;
use super::model::{Created, ImageId, NewImage};
use crate::error::{ErrorKind, Result};
use crate::transport::Request;

/// The image to register, and where.
#[derive(Clone, Debug)]
pub(super) struct Register {
    pub(super) images: Images,
    pub(super) image: NewImage,
}

impl Register {
    pub(super) async fn post(&self) -> Result<Created> {
        let request = Request::new(Method::POST)
            .path(["image"])?
            .json(&self.image)?;
        let answer = self.images.transport.fetch(request).await;
        let answer = answer.map_err(|error| match error.kind() {
            ErrorKind::NameTaken => error.meaning(ErrorKind::NameTaken, taken(&self.image.id)),
            _ => error,
        })?;
        answer.json()
    }
}

/// What is wrong with an id that there is already.
pub(super) fn taken(id: &ImageId) -> String {
    format!("an id must be unique: {:?} exists already", id.as_str())
}
