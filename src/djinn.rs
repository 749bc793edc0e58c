//! Images of a [Djinn CI](https://djinn-ci.com) server.
//!
//! [`Client::images`] has the operations; each returns a builder that ends in `send()` or in a
//! word for what it yields.
//!
//! What this module says of servers was seen on the public release of 2023-11-05; what was not
//! seen and is not in the written API either is called a guess.

mod client;
mod content;
mod create_download;
mod create_upload;
mod delete;
mod find;
mod get;
mod images;
mod list;
mod missing;
mod model;
mod name;
mod reconcile;
mod service;
mod upload;
mod user;
mod wait;

pub use client::Client;
pub use content::ContentRequest;
pub use create_download::CreateDownload;
pub use create_upload::CreateUpload;
pub use delete::Delete;
pub use find::Find;
pub use get::Get;
pub use images::Images;
pub(crate) use images::QEMU_DISK;
pub use list::List;
pub use model::{
    Download, DownloadState, Driver, Image, ImageId, Namespace, NamespaceId, SourceUrl, User,
    UserId, Visibility,
};
pub use name::NamespacePath;
pub use wait::WaitDownloaded;

pub use crate::client::ClientBuilder;
pub use crate::model::Extra;
pub use crate::source::Source;
