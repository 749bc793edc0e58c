//! One request that registers an image.

use reqwest::Method;
use serde::Deserialize;

use super::images::Images;
use super::model::{Created, ImageId, NewImage};
use crate::error::{ErrorKind, Result};
use crate::model::Extra;
use crate::transport::Request;

/// An image to register, and the service to register it with.
#[derive(Clone, Debug)]
pub(super) struct Register {
    pub(super) images: Images,
    pub(super) image: NewImage,
}

/// The answer as it is sent: version 2 leaves the id out.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<ImageId>,
    #[serde(default)]
    message: Option<String>,
    #[serde(flatten)]
    extra: Extra,
}

impl Register {
    pub(super) async fn post(&self) -> Result<Created> {
        let request = Request::new(Method::POST)
            .path(["image"])?
            .json(&self.image)?;
        let response = self.images.transport.fetch(request).await;
        let response = response.map_err(|error| match error.kind() {
            ErrorKind::NameTaken => error.meaning(ErrorKind::NameTaken, taken(&self.image.id)),
            _ => error,
        })?;
        let Answer { id, message, extra } = response.json()?;
        Ok(Created {
            id: id.unwrap_or_else(|| self.image.id.clone()),
            message,
            extra,
        })
    }
}

/// The message for an id that exists already.
pub(super) fn taken(id: &ImageId) -> String {
    format!("an id must be unique: {:?} exists already", id.as_str())
}
