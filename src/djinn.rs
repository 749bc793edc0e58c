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
//! | call | |
//! |---|---|
//! | [`list`](Images::list), [`find`](Images::find), [`get`](Images::get) | metadata: all images, one by its name, one by its id |
//! | [`create_upload`](Images::create_upload) | creates an image from a file, bytes, a reader or a stream |
//! | [`create_download`](Images::create_download), [`wait_downloaded`](Images::wait_downloaded) | creates an image that the server downloads, and waits for it |
//! | [`content`](Images::content), [`reader`](Images::reader) | the bytes of an image, in order or from any position |
#![cfg_attr(
    feature = "fs",
    doc = "| [`save`](Images::save) | the bytes of an image, to a file |"
)]
#![cfg_attr(
    feature = "disk",
    doc = "| [`disk`](Images::disk) | the bytes of the guest's disk inside an image, from any position |"
)]
#![cfg_attr(
    all(feature = "disk", feature = "fs"),
    doc = "| [`save_raw`](Images::save_raw) | the guest's disk, to a file or a block device |"
)]
//! | [`inspect`](Images::inspect), [`stat`](Images::stat), [`digest`](Images::digest) | the header, the length and the digest of an image |
//! | [`copy`](Images::copy) | copies an image to another server |
//! | [`delete`](Images::delete) | deletes an image |
//! | [`Client::check`] | checks the token |
#![cfg_attr(
    feature = "webhooks",
    doc = "| [`webhook`] | verifies deliveries of webhooks |"
)]
//!
//! The behavior of servers that this module describes was observed with the public release of
//! 2023-11-05.
//!
#![doc = include_str!("djinn/many.md")]

mod client;
mod content;
mod copy;
mod create_download;
mod create_upload;
mod delete;
mod digest;
#[cfg(feature = "disk")]
mod disk;
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
#[cfg(all(feature = "disk", feature = "fs"))]
mod save_raw;
mod service;
mod stat;
mod target;
mod user;
mod wait;
#[cfg(feature = "webhooks")]
pub mod webhook;

pub use client::Client;
pub use content::{GetContent, GetRange, GetVerified};
pub use copy::{Copied, CopyFrom, CopyImage};
pub use create_download::CreateDownload;
pub use create_upload::CreateUpload;
pub use delete::Delete;
pub use digest::{ComputeDigest, ContentDigest};
pub use find::Find;
pub use get::Get;
pub use images::Images;
pub(crate) use images::QEMU_DISK;
pub use inspect::Inspect;
pub use list::{List, ListAll, ListPage};
pub use model::{
    Download, DownloadState, Driver, Image, ImageId, Namespace, NamespaceId, SourceUrl, User,
    UserId, Visibility,
};
pub use name::NamespacePath;
#[cfg(feature = "fs")]
pub use save::Save;
#[cfg(all(feature = "disk", feature = "fs"))]
pub use save_raw::SaveRaw;
pub use stat::Stat;
pub use user::Check;
pub use wait::{WaitDownloaded, WaitWoken};

pub use crate::client::ClientBuilder;
pub use crate::model::Extra;
#[cfg(all(feature = "fs", feature = "disk"))]
pub use crate::source::RawDisk;
pub use crate::source::Source;
