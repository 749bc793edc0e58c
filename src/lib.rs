// The README's program needs files.
#![cfg_attr(feature = "fs", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "fs"),
    doc = "Typed async client for machine images over HTTP."
)]
//!
//! # Overview
//!
//! - [`djinn`] and [`devops`] have the two clients; a [`ClientBuilder`] builds both.
//! - A method of [`djinn::Images`] or [`devops::Images`] returns a builder with the options of the
//!   call. Awaiting the builder sends the requests; `send()` does the same where a plain future is
//!   needed.
//! - [`Content`] is the content of an image, [`Page`] one page of a list, [`Error`] the error type.
//! - [`qcow2`] inspects the headers of images.
#![cfg_attr(
    feature = "disk",
    doc = "- [`disk`] reads the guest's disk inside an image, on a server or in a file."
)]
#![cfg_attr(
    feature = "blocking",
    doc = "- [`blocking`] has the calls for programs without async code."
)]
#![cfg_attr(
    feature = "webhooks",
    doc = "- [`djinn::webhook`] verifies and decodes deliveries of webhooks."
)]
#![cfg_attr(
    feature = "testing",
    doc = "- [`testing`] has embedded servers for tests."
)]
//!
//! # Features
//!
//! | feature | | default |
//! |---|---|---|
//! | `rustls` | TLS by rustls with its default crypto provider | yes |
//! | `rustls-no-provider` | TLS by rustls; the program installs the crypto provider | |
//! | `native-tls` | TLS by the platform's library | |
//! | `fs` | uploads from files, and contents saved to files | yes |
//! | `disk` | the guest's disk inside an image: read in place and, with `fs`, saved as a raw disk or sent as QCOW2 | |
//! | `blocking` | calls for programs without async code | |
//! | `webhooks` | deliveries of webhooks verified and decoded | |
//! | `testing` | embedded servers for tests | |
//!
//! # Runtime
//!
//! Futures and streams of this crate must be polled within a [tokio](https://docs.rs/tokio) runtime
//! with its I/O and time drivers enabled, such as the one that `#[tokio::main]` creates. A program
//! without async code uses the feature `blocking`. Elsewhere the first request panics with tokio's
//! message `there is no reactor running`. Building clients and calls needs no runtime. Every future
//! is `Send`.
//!
//! # Cancel safety
//!
//! Dropping a future ends its request. A dropped read, of a list or of content, does nothing on the
//! server. A dropped creation or deletion may or may not have happened, as the response is lost; the
//! server creates nothing from an upload that was not fully sent. A dropped `save` leaves the file
//! at the path as it was, and the next one resumes. [`Content::chunk`] loses no bytes.
//!
//! # Tracing
//!
//! The crate emits spans and events of [`tracing`](https://docs.rs/tracing) at the level `DEBUG`,
//! without secrets:
//!
//! | | name | target | fields |
//! |---|---|---|---|
//! | span | `operation` | `machine_images::operation` | `name`: the call, such as `get image` |
//! | span, in that of its operation | `request` | `machine_images::transport` | `http.request.method`, `server.address`, `server.port`, `url.full`, `http.request.resend_count`, `http.response.status_code`, `error.type`, as OpenTelemetry names them |
//! | event, in the operation's span | `retrying` | `machine_images::retry` | `attempt`: the one that failed, `error`, `delay` before the next |
//! | event, in the operation's span | `one connection less` | `machine_images::transfer` | `error` |
//! | event, in the operation's span | `the upload cannot be looked for` | `machine_images::djinn` | `error` |
//!
//! Without a subscriber, [`ClientBuilder::on_attempt`] reports each request, and
//! [`RetryPolicy::on_retry`] each retry.
//!
//! # Crates in signatures
//!
//! The crates whose types are in this crate's signatures are re-exported: `bytes`, `http`, `jiff`,
//! `reqwest`, `serde_json` and `url`. Traits in signatures come from `futures`, `serde` and `tokio`,
//! which are not re-exported.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
#[cfg(feature = "blocking")]
pub mod blocking;
mod call;
mod client;
mod content;
pub mod devops;
mod digest;
#[cfg(feature = "disk")]
pub mod disk;
pub mod djinn;
mod error;
#[cfg(feature = "fs")]
mod file;
mod hashing;
mod inspect;
mod join;
mod model;
mod operation;
mod page;
mod progress;
pub mod qcow2;
mod retry;
#[cfg(feature = "fs")]
mod save;
mod source;
#[cfg(feature = "fs")]
mod spans;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "fs")]
mod thread;
#[cfg(feature = "fs")]
mod transfer;
mod transport;

pub use {bytes, http, jiff, reqwest, serde_json, url};

pub use attempt::Attempt;
pub use client::ClientBuilder;
pub use content::{Content, ContentInfo, RemoteReader};
pub use digest::Digest;
pub use error::{Error, ErrorKind, FieldErrors, Result, Side};
pub use page::Page;
pub use progress::{Phase, Progress, ProgressListener};
pub use retry::RetryPolicy;
#[cfg(feature = "fs")]
pub use save::{Saved, WhenBusy};
pub use source::Source;
