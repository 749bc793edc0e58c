//! What a Djinn CI server says of images.

use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::model::Extra;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl From<i64> for $name {
            fn from(id: i64) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

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

/// An image: its metadata, not its contents.
///
/// A value that was read is written again as it was, with unknown fields and in the API's own
/// names; timestamps are written in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Image {
    /// The image's id.
    pub id: ImageId,
    /// Who created it.
    pub author_id: UserId,
    /// Whose it is: the owner of the namespace, or else the author.
    pub user_id: UserId,
    /// The namespace it is in, if any.
    #[serde(default)]
    pub namespace_id: Option<NamespaceId>,
    /// What runs it. Older servers do not say.
    #[serde(default)]
    pub driver: Option<Driver>,
    /// The name, unique per user or per namespace.
    pub name: String,
    /// When it was created: with nanoseconds in the answer to a creation, later microseconds.
    pub created_at: Timestamp,
    /// Where the API has it. It is never followed by this crate.
    pub url: Url,
    /// Who created it; the list of a namespace does not say.
    #[serde(default)]
    pub author: Option<User>,
    /// Whose it is; the list of a namespace does not say.
    #[serde(default)]
    pub user: Option<User>,
    /// The namespace; the list of a namespace does not say.
    #[serde(default)]
    pub namespace: Option<Box<Namespace>>,
    /// The server's download, if the image was created by one. The answer to the creation does
    /// not say, nor do older servers.
    #[serde(default)]
    pub download: Option<Download>,
    /// Fields that this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The server's download of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Download {
    /// Where the image comes from, as the server shows it: in lower case, with `xxxxx` for a
    /// password.
    pub source: SourceUrl,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// When it was asked for.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// When it began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended, well or not.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// Fields that this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// How far a [`Download`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DownloadState {
    /// It has not begun.
    Queued,
    /// It has begun. A server may leave it so for ever, such as when the source was cut short.
    Running,
    /// It is done. The server checks neither the source's status nor what it sent.
    Finished,
    /// The server gave up; [`Download::error`] says why.
    Failed,
}

impl Download {
    /// How far it is, by what is set of its fields.
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

/// The source of a download: servers also show texts that are no URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum SourceUrl {
    /// A URL.
    Url(Url),
    /// A text that is no URL, or that a URL would not keep as it is, such as `http:///x`.
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

/// A user, as images and namespaces name them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The user's id, which only [`Client::check`](super::Client::check) gets, and not from every
    /// server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<UserId>,
    /// The user's address.
    #[serde(default)]
    pub email: Option<String>,
    /// The user's name, unique on the server.
    pub username: String,
    /// When the user was created.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// Fields that this version of the crate does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A namespace.
///
/// In the answer to a creation `user` is null, and every URL is the bare address of the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields that end in _url say what they are")]
pub struct Namespace {
    /// The namespace's id.
    pub id: NamespaceId,
    /// Whose it is.
    pub user_id: UserId,
    /// The namespace at the top of the path.
    #[serde(default)]
    pub root_id: Option<NamespaceId>,
    /// The namespace above this one, if any.
    #[serde(default)]
    pub parent_id: Option<NamespaceId>,
    /// The last part of the path.
    pub name: String,
    /// The path from the top, parts separated by `/`.
    pub path: String,
    /// What it is for; may be empty.
    #[serde(default)]
    pub description: Option<String>,
    /// Who may see it.
    #[serde(default)]
    pub visibility: Option<Visibility>,
    /// When it was created.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// Whose it is.
    #[serde(default)]
    pub user: Option<User>,
    /// The namespace above this one. One that has more than 24 above it is not read.
    #[serde(default, deserialize_with = "parent")]
    pub parent: Option<Box<Namespace>>,
    /// The namespace's last build; null wherever it was seen, so of unknown shape.
    #[serde(default)]
    pub build: Option<Value>,
    /// Where the API has it.
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

/// Reads a parent with all above it, from the top down so that each takes the same stack.
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

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A word that this version of the crate does not know.
            Other(String),
        }

        impl $name {
            /// The API's word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$variant,)*
                    _ => Self::Other(text),
                }
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What runs an image.
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
    /// Who may see a namespace.
    Visibility {
        /// Its owner and collaborators.
        Private = "private",
        /// Whoever has an account.
        Internal = "internal",
        /// Everyone.
        Public = "public",
    }
}
