//! The models of a Djinn CI server.

mod macros;

use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::model::Extra;
pub(super) use macros::{id, words};

id! {
    /// The id of an image.
    ImageId
}
id! {
    /// The id of a user.
    UserId
}
id! {
    /// The id of a namespace.
    NamespaceId
}

/// The metadata of an image.
///
/// Serialization gives back what was deserialized: the API's field names, and unknown fields.
/// Timestamps are serialized in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Image {
    /// The image's id.
    pub id: ImageId,
    /// The id of the user who created it.
    pub author_id: UserId,
    /// The id of the user who owns it: the owner of the namespace, or else the author.
    pub user_id: UserId,
    /// The id of its namespace, if any.
    #[serde(default)]
    pub namespace_id: Option<NamespaceId>,
    /// The driver that runs it; `None` on older servers.
    #[serde(default)]
    pub driver: Option<Driver>,
    /// The name, unique per user or per namespace, but not within a list: name files by id.
    pub name: String,
    /// The time of its creation: nanoseconds in the response to a creation, later microseconds.
    pub created_at: Timestamp,
    /// The URL of the image in the API. This crate never follows it.
    pub url: Url,
    /// The user who created it; `None` in the list of a namespace.
    #[serde(default)]
    pub author: Option<User>,
    /// The user who owns it; `None` in the list of a namespace.
    #[serde(default)]
    pub user: Option<User>,
    /// Its namespace, if any; `None` in the list of a namespace.
    #[serde(default)]
    pub namespace: Option<Box<Namespace>>,
    /// The server's download, if the image was created by one; `None` in the response to the
    /// creation, in the list of a namespace, and on older servers.
    #[serde(default)]
    pub download: Option<Download>,
    /// Fields that this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The server's download of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Download {
    /// The source of the image, as the server shows it: in lower case, with `xxxxx` for a password.
    pub source: SourceUrl,
    /// The error that it failed with.
    #[serde(default)]
    pub error: Option<String>,
    /// The time at which it was requested.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// The time at which it began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// The time at which it succeeded or failed.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// Fields that this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The state of a [`Download`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DownloadState {
    /// It has not begun.
    Queued,
    /// It has begun. A server may leave it in this state forever, for example if the source was cut
    /// short.
    Running,
    /// It has finished. The server checks neither the source's status nor its content.
    Finished,
    /// The server gave up; [`Download::error`] says why.
    Failed,
}

impl Download {
    /// Returns the state, derived from the fields.
    ///
    /// ```
    /// use machine_images::djinn::{Download, DownloadState};
    ///
    /// let download: Download = serde_json::from_str(
    ///     r#"{"source": "http://h/x", "started_at": "2026-11-22T00:57:39.77Z"}"#,
    /// )?;
    /// assert_eq!(download.state(), DownloadState::Running);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn state(&self) -> DownloadState {
        if self.error.as_ref().is_some_and(|error| !error.is_empty()) {
            DownloadState::Failed
        } else if self.finished_at.is_some() {
            DownloadState::Finished
        } else if self.started_at.is_some() {
            DownloadState::Running
        } else {
            DownloadState::Queued
        }
    }
}

/// The source of a download, usually a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum SourceUrl {
    /// A URL.
    Url(Url),
    /// A text that is not a URL, or not a normalized one, such as `http:///x`.
    Other(String),
}

impl From<String> for SourceUrl {
    fn from(text: String) -> Self {
        match Url::parse(&text) {
            Ok(url) if url.as_str() == text => Self::Url(url),
            _ => Self::Other(text),
        }
    }
}

impl From<SourceUrl> for String {
    fn from(source: SourceUrl) -> Self {
        source.to_string()
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Other(text) => text.fmt(f),
        }
    }
}

/// A user: an author or owner of images and namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The user's id; `Some` only in the result of [`Client::check`](super::Client::check), and not
    /// on every server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<UserId>,
    /// The user's e-mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// The user's name, unique on the server.
    pub username: String,
    /// The time of the user's creation.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// Fields that this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A namespace.
///
/// In the response to a creation `user` is null, and every URL is that of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields that end in _url say what they are")]
pub struct Namespace {
    /// The namespace's id.
    pub id: NamespaceId,
    /// The id of the user who owns it.
    pub user_id: UserId,
    /// The id of the first namespace of the path.
    #[serde(default)]
    pub root_id: Option<NamespaceId>,
    /// The id of the parent namespace, if any.
    #[serde(default)]
    pub parent_id: Option<NamespaceId>,
    /// The last segment of the path.
    pub name: String,
    /// The whole path, its segments separated by `/`.
    pub path: String,
    /// The description, which may be empty.
    #[serde(default)]
    pub description: Option<String>,
    /// The visibility.
    #[serde(default)]
    pub visibility: Option<Visibility>,
    /// The time of its creation.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// The user who owns it.
    #[serde(default)]
    pub user: Option<User>,
    /// The parent namespace. More than 24 levels fail to deserialize.
    #[serde(default, deserialize_with = "parent")]
    pub parent: Option<Box<Namespace>>,
    /// The namespace's last build; only null was observed.
    #[serde(default)]
    pub build: Option<Value>,
    /// The URL of the namespace in the API.
    #[serde(default)]
    pub url: Option<Url>,
    #[serde(default)]
    pub builds_url: Option<Url>,
    #[serde(default)]
    pub namespaces_url: Option<Url>,
    #[serde(default)]
    pub images_url: Option<Url>,
    #[serde(default)]
    pub objects_url: Option<Url>,
    #[serde(default)]
    pub variables_url: Option<Url>,
    #[serde(default)]
    pub keys_url: Option<Url>,
    #[serde(default)]
    pub invites_url: Option<Url>,
    #[serde(default)]
    pub collaborators_url: Option<Url>,
    #[serde(default)]
    pub webhooks_url: Option<Url>,
    /// Fields that this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// More than the 20 levels that a server allows.
const PARENTS_MAX: usize = 24;

/// Deserializes a parent and its parents from the root down, which needs no recursion.
fn parent<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Box<Namespace>>, D::Error> {
    let mut path = Vec::new();
    let mut next = Option::<Value>::deserialize(json)?;
    while let Some(mut namespace) = next {
        if path.len() == PARENTS_MAX {
            return Err(D::Error::custom("namespaces are nested too deep"));
        }
        next = namespace.get_mut("parent").map(Value::take);
        next = next.filter(|parent| !parent.is_null());
        path.push(namespace);
    }
    let read = |parent, namespace| {
        let mut namespace: Box<Namespace> = serde_json::from_value(namespace)?;
        namespace.parent = parent;
        Ok(Some(namespace))
    };
    let path = path.into_iter().rev().try_fold(None, read);
    path.map_err(|error: serde_json::Error| D::Error::custom(error))
}

words! {
    /// The driver that runs an image.
    Driver {
        /// QEMU, the only driver that images are made for so far.
        Qemu = "qemu",
        /// Docker.
        Docker = "docker",
        /// SSH.
        Ssh = "ssh",
        /// The operating system itself.
        Os = "os",
    }
}

words! {
    /// The visibility of a namespace.
    Visibility {
        /// For its owner and collaborators.
        Private = "private",
        /// For all users with an account.
        Internal = "internal",
        /// For everyone.
        Public = "public",
    }
}
