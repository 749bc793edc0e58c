//! Images of a [Djinn CI](https://djinn-ci.com) server.
//!
//! [`Client::images`] has the operations. Each returns a builder to be awaited.
//!
//! ```
//! use machine_images::djinn::Client;
//!
//! # async fn example() -> machine_images::Result<()> {
//! let client = Client::builder("https://api.djinn-ci.com").token("1a2b3c").build()?;
//! for image in client.images().list().await? {
//!     println!("{} {}", image.id, image.name);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The behavior of servers that this module describes was observed with the public release of
//! 2023-11-05. Behavior that is neither observed nor documented is called a guess.

mod client;
mod content;
mod create_download;
mod create_upload;
mod delete;
mod digest;
mod find;
mod get;
mod images;
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
mod upload;
mod user;
mod wait;

pub use client::Client;
pub use content::{GetContent, GetRange, GetVerified};
pub use create_download::CreateDownload;
pub use create_upload::CreateUpload;
pub use delete::Delete;
pub use digest::{ComputeDigest, ContentDigest};
pub use find::Find;
pub use get::Get;
pub use images::Images;
pub(crate) use images::QEMU_DISK;
pub use inspect::Inspect;
pub use list::{List, ListPage, Walk};
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
