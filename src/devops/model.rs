//! What a DevOps Service says of images.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::Extra;

/// The id that an image's provider gave it: `ami-63071b0a`, a UUID, a path.
///
/// ```
/// use machine_images::devops::ImageId;
///
/// let id = ImageId::from("ami-63071b0a");
/// assert_eq!(id.as_str(), "ami-63071b0a");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(String);

impl ImageId {
    /// The id as the service writes it.
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

/// An image that the service knows.
///
/// A value that was read is written again as it was, with unknown fields and in the API's own
/// names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Image {
    /// The image's id.
    pub id: ImageId,
    /// The provider that has the image. The public version 2 knows `ec2` and `openstack`;
    /// version 3 leaves providers to the server.
    pub provider: String,
    /// The user to log in as on a machine made of the image, such as `ec2-user`.
    pub remote_user: String,
    /// The name, which may be empty.
    pub name: String,
    /// The template that machines made of the image are bootstrapped with; the written API of
    /// version 3 does not speak of it.
    pub bootstrap_template: Option<String>,
    /// Fields that this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image to register: see [`Images::create`](super::Images::create).
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
    /// The user to log in as on a machine made of the image.
    pub remote_user: String,
    /// The name, which may be empty.
    pub name: String,
    /// The template that machines made of the image are bootstrapped with; sent only if there is
    /// one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap_template: Option<String>,
    /// Fields that this version of the crate does not know, sent as they are. Version 2 drops
    /// them.
    #[serde(flatten)]
    pub extra: Extra,
}

impl NewImage {
    /// Makes an image with the required fields, in the order of the service's documentation.
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

    /// Sets the template that machines made of the image are bootstrapped with.
    #[must_use]
    pub fn bootstrap_template(mut self, template: impl Into<String>) -> Self {
        self.bootstrap_template = Some(template.into());
        self
    }
}

macro_rules! answer {
    ($(#[$doc:meta])* $name:ident, $(#[$about_doc:meta])* $about:ident: $of:ty) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        #[non_exhaustive]
        pub struct $name {
            $(#[$about_doc])*
            pub $about: Option<$of>,
            /// The server's words.
            pub message: Option<String>,
            /// Fields that this version of the crate does not know.
            #[serde(flatten)]
            pub extra: Extra,
        }
    };
}

answer! {
    /// The answer to a creation.
    Created,
    /// The id of the image; `None` on version 2.
    id: ImageId
}
answer! {
    /// The answer to an update.
    Updated,
    /// The image as it is now; `None` on version 2.
    image: Image
}
answer! {
    /// The answer to a deletion.
    Deleted,
    /// The id of the image; `None` on version 2.
    id: ImageId
}
