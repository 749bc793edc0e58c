//! The models of a DevOps Service.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::Extra;

/// The id of an image at its provider: `ami-63071b0a`, a UUID, a path.
///
/// ```
/// use machine_images::devops::ImageId;
///
/// let id = ImageId::new("ami-63071b0a");
/// assert_eq!(id.as_str(), "ami-63071b0a");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(String);

impl ImageId {
    /// Creates an id from a text.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Returns the text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ImageId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl From<String> for ImageId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl FromStr for ImageId {
    type Err = Infallible;

    fn from_str(id: &str) -> Result<Self, Infallible> {
        Ok(id.into())
    }
}

impl From<&ImageId> for ImageId {
    fn from(id: &ImageId) -> Self {
        id.clone()
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> Self {
        id.0
    }
}

impl AsRef<str> for ImageId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for ImageId {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for ImageId {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The record of an image.
///
/// Serialization gives back what was deserialized: the API's field names, and unknown fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Image {
    /// The image's id.
    pub id: ImageId,
    /// The provider that has the image, such as `ec2` or `openstack`.
    pub provider: String,
    /// The user to log in as on a machine made from the image, such as `ec2-user`.
    pub remote_user: String,
    /// The name, which may be empty.
    pub name: String,
    /// The template that bootstraps machines made from the image; not documented for version 3.
    pub bootstrap_template: Option<String>,
    /// Fields that this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image to register: see [`Images::create`](super::Images::create).
///
/// It can be read from a JSON file, in the form in which it is sent:
///
/// ```
/// use machine_images::devops::NewImage;
/// use machine_images::serde_json;
///
/// let json = r#"{
///     "id": "ami-63071b0a",
///     "provider": "ec2",
///     "remote_user": "ec2-user",
///     "name": "debian-12",
///     "bootstrap_template": "omnibus"
/// }"#;
/// let image: NewImage = serde_json::from_str(json)?;
/// assert_eq!(image.bootstrap_template.as_deref(), Some("omnibus"));
/// assert!(image.extra.is_empty(), "unknown fields: {:?}", image.extra);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// Unknown fields are not an error: a misspelled name, such as `bootstrap_templates`, ends up in
/// [`extra`](Self::extra) and is sent to the service. Check that `extra` is empty, as above.
///
/// ```
/// use machine_images::devops::NewImage;
///
/// let image = NewImage::new("ami-63071b0a", "ec2", "ec2-user", "debian-12")
///     .bootstrap_template("omnibus");
/// assert_eq!(image.remote_user, "ec2-user");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NewImage {
    /// The image's id at its provider.
    pub id: ImageId,
    /// The provider that has the image: see [`Image::provider`].
    pub provider: String,
    /// The user to log in as on a machine made from the image.
    pub remote_user: String,
    /// The name, which may be empty.
    pub name: String,
    /// The template that bootstraps machines made from the image; left out if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap_template: Option<String>,
    /// Further fields, sent as they are, misspelled ones too. Version 2 ignores those that it does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

impl NewImage {
    /// Returns an image with the required fields.
    pub fn new(
        id: impl Into<ImageId>,
        provider: impl Into<String>,
        remote_user: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            provider: provider.into(),
            remote_user: remote_user.into(),
            name: name.into(),
            bootstrap_template: None,
            extra: Extra::new(),
        }
    }

    /// Sets the template that bootstraps machines made from the image. Defaults to none.
    #[must_use]
    pub fn bootstrap_template(mut self, template: impl Into<String>) -> Self {
        self.bootstrap_template = Some(template.into());
        self
    }
}

/// The response to a creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Created {
    /// The id of the image.
    pub id: ImageId,
    /// The server's message; `None` if the response was lost and the image was looked up.
    pub message: Option<String>,
    /// Fields that this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The response to an update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Updated {
    /// The image after the update; `None` on version 2, which does not send it.
    pub image: Option<Image>,
    /// The server's message.
    pub message: Option<String>,
    /// Fields that this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}
