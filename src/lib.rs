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
//!
//! # Tracing
//!
//! The crate speaks through [`tracing`](https://docs.rs/tracing) at the level `DEBUG`, and never of
//! secrets:
//!
//! | | name | target | fields |
//! |---|---|---|---|
//! | span | `operation` | `machine_images::operation` | `name`: the call, such as `get image` |
//! | span, in that of its operation | `request` | `machine_images::transport` | `http.request.method`, `server.address`, `server.port`, `url.full`, `http.request.resend_count`, `http.response.status_code`, `error.type`, as OpenTelemetry names them |
//! | event, in the operation's span | `retrying` | `machine_images::retry` | `attempt`: the one that failed, `error`, `delay` before the next |
//!
//! Where no subscriber is wanted, [`ClientBuilder::on_attempt`] reports each request.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod call;
mod client;
mod content;
pub mod devops;
mod digest;
pub mod djinn;
mod error;
#[cfg(feature = "fs")]
mod file;
mod inspect;
mod model;
mod operation;
mod page;
mod progress;
pub mod qcow2;
mod retry;
#[cfg(feature = "fs")]
mod save;
mod source;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "fs")]
mod thread;
#[cfg(feature = "fs")]
mod transfer;
mod transport;

pub use attempt::Attempt;
pub use client::ClientBuilder;
pub use content::{Content, ContentInfo, RemoteReader};
pub use digest::Digest;
pub use error::{Error, ErrorKind, FieldErrors, Result};
pub use page::Page;
pub use progress::{Phase, Progress, ProgressListener};
pub use retry::RetryPolicy;
#[cfg(feature = "fs")]
pub use save::{Saved, WhenBusy};
pub use source::Source;
