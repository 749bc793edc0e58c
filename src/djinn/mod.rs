//! Images of a [Djinn CI](https://djinn-ci.com) server.
//!
//! [`Client::images`] has the operations; each returns a builder that ends in `send()` or in a
//! word for what it yields.
//!
//! What this module says of servers was seen on the public release of 2023-11-05; what was not
//! seen and is not in the written API either is called a guess.

mod content;
mod create_download;
mod create_upload;
mod delete;
mod digest;
mod find;
mod get;
mod inspect;
mod list;
mod missing;
mod model;
mod name;
mod reader;
mod reconcile;
#[cfg(feature = "fs")]
mod save;
mod service;
mod stat;
mod user;
mod wait;

pub use content::{GetContent, GetRange, GetVerified};
pub use create_download::CreateDownload;
pub use create_upload::CreateUpload;
pub use delete::Delete;
pub use digest::{ComputeDigest, ContentDigest};
pub use find::Find;
pub use get::Get;
pub use inspect::Inspect;
pub use list::List;
pub use model::{
    Download, DownloadState, Driver, Image, ImageId, Namespace, NamespaceId, SourceUrl, User,
    UserId, Visibility,
};
pub use name::NamespacePath;
#[cfg(feature = "fs")]
pub use save::Save;
pub use stat::Stat;
pub use wait::WaitDownloaded;

pub use crate::client::ClientBuilder;
pub use crate::model::Extra;
pub use crate::source::Source;

use crate::client::required_env;
use crate::error::Result;
use crate::transport::Transport;
use service::SERVICE;

/// The media type of an image's contents, to the letter.
const QEMU_DISK: &str = "application/x-qemu-disk";

/// A client of one Djinn CI server; cheap to clone.
///
/// ```
/// use machine_images::djinn;
///
/// # fn example() -> machine_images::Result<()> {
/// let client = djinn::Client::builder("https://api.djinn-ci.com").token("1a2b3c").build()?;
/// let images = client.images();
/// # let _ = images;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// Starts building a client for the API at `base`, such as `https://api.djinn-ci.com` or
    /// `https://ci.example.org/api`, with or without a slash at its end.
    pub fn builder(base: impl Into<String>) -> ClientBuilder<Self> {
        ClientBuilder::new(base)
    }

    /// A client for the server and the token that `DJINN_API_SERVER` and `DJINN_TOKEN` name.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if one of them is not set, or as in [`ClientBuilder::build`].
    pub fn from_env() -> Result<Self> {
        Self::builder(required_env("DJINN_API_SERVER")?)
            .token(required_env("DJINN_TOKEN")?)
            .build()
    }

    /// The images that the token's user can see.
    pub fn images(&self) -> Images {
        Images {
            transport: self.transport.clone(),
        }
    }
}

impl ClientBuilder<Client> {
    /// Checks the settings and makes the client. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): the base URL is not one of `http` or `https`, or carries
    /// credentials, a query or a fragment; the token or the user agent cannot be in a header; a
    /// certificate or the proxy cannot be read; the TLS library cannot be set up.
    pub fn build(self) -> Result<Client> {
        let transport = self.transport(&SERVICE)?;
        Ok(Client { transport })
    }
}

/// The operations on images; cheap to clone.
#[derive(Clone, Debug)]
pub struct Images {
    transport: Transport,
}
