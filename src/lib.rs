// The README's program needs files.
#![cfg_attr(feature = "fs", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "fs"),
    doc = "Typed async client for machine images over HTTP."
)]
//!
//! # Where to look
//!
//! - [`djinn`] and [`devops`] have the two clients; both are made by a [`ClientBuilder`].
//! - [`Content`] is what fetching yields, [`Page`] one page of a list, [`Error`] what can go wrong.
//! - [`qcow2`] inspects image headers, before anyone trusts them.
#![cfg_attr(
    feature = "testing",
    doc = "- [`testing`] has embedded servers for tests."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod client;
mod content;
pub mod devops;
mod digest;
pub mod djinn;
mod error;
mod http;
mod inspect;
mod model;
mod operation;
mod page;
mod progress;
pub mod qcow2;
mod retry;
mod source;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "fs")]
mod thread;
mod transport;

pub use attempt::Attempt;
pub use client::ClientBuilder;
#[cfg(feature = "fs")]
pub use content::Saved;
pub use content::{Content, ContentReader, RemoteReader};
pub use digest::Digest;
pub use error::{Error, ErrorKind, FieldErrors, Result};
pub use page::Page;
pub use progress::{Phase, Progress, Report};
pub use retry::RetryPolicy;
pub use source::Source;
