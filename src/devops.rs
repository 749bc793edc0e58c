//! Images of a DevOps Service, version 3 or 2.
//!
//! [`Client::images`] has the operations. Each returns a builder to be awaited.
//!
//! ```
//! use machine_images::devops::Client;
//!
//! # async fn example() -> machine_images::Result<()> {
//! let client = Client::builder("https://devops.example.org").basic("gordon", "secret").build()?;
//! for image in client.images().list().await? {
//!     println!("{} {}", image.id, image.name);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Versions
//!
//! Requests go to the documented paths of version 3, below `/v3`. For a server of version 2, end
//! the base URL in `/v2.0` or set [`api_version`](ClientBuilder::api_version).
//!
//! No public server of version 3 is known. The behavior described in this module is that of the
//! public version 2, whose responses are supported as well: fields that they lack are `None`.
//! Every operation works on both, except that version 2 cannot address an id with a slash.
//!
//! # Errors
//!
//! | status | kind | meaning |
//! |---|---|---|
//! | 400, 422 | [`Rejected`](crate::ErrorKind::Rejected) | an invalid record, or an image in use |
//! | 400 `Duplicate key error` | [`NameTaken`](crate::ErrorKind::NameTaken) | the id exists already |
//! | 400 without a body, to a token | [`Unauthorized`](crate::ErrorKind::Unauthorized) | the server accepts only a user and a password |
//! | 401 without a body, or with `WWW-Authenticate` | [`Unauthorized`](crate::ErrorKind::Unauthorized) | the user, password or token is wrong or missing |
//! | 401 with a JSON body | [`Forbidden`](crate::ErrorKind::Forbidden) | the login lacks the privilege |
//! | 404 with a message in JSON | [`NotFound`](crate::ErrorKind::NotFound) | no such image or provider |
//! | 404 `Not found`, to a list of a provider | [`NotFound`](crate::ErrorKind::NotFound) | no such provider |
//! | any other 404 | [`UnknownRoute`](crate::ErrorKind::UnknownRoute) | the base URL or the version is wrong, or version 2 got an id with a slash |
//! | 406, 415 | [`UnexpectedStatus`](crate::ErrorKind::UnexpectedStatus) | a proxy removed headers that this client always sends |
//! | 5xx | [`Server`](crate::ErrorKind::Server) | the server failed, or a proxy in front of it |
//!
//! Any call can also fail with [`Decode`](crate::ErrorKind::Decode) or
//! [`UnexpectedContent`](crate::ErrorKind::UnexpectedContent) if the response is not the service's,
//! and with the kinds of network failures, such as [`Connect`](crate::ErrorKind::Connect).

mod client;
mod create;
mod delete;
mod get;
mod images;
mod list;
mod model;
mod reconcile;
mod register;
mod service;
mod update;
mod version;

pub use client::Client;
pub use create::Create;
pub use delete::Delete;
pub use get::Get;
pub use images::Images;
pub use list::List;
pub use model::{Created, Image, ImageId, NewImage, Updated};
pub use update::Update;
pub use version::ApiVersion;

pub use crate::client::ClientBuilder;
pub use crate::model::Extra;
