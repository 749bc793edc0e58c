//! Images of a DevOps Service, version 3 or 2.
//!
//! [`Client::images`] has the operations; each returns a builder that ends in `send()`.
//!
//! # Versions
//!
//! Requests go to the documented paths of version 3, below `/v3`. For a server of version 2, end
//! the base URL in `/v2.0` or set [`api_version`](ClientBuilder::api_version).
//!
//! No public server of version 3 is known. The habits described in this module are those of the
//! public version 2, whose answers are read as well: fields that they lack are `None`. Every
//! operation does its whole job on both, except that version 2 cannot address an id with a slash.
//!
//! # Refusals
//!
//! | status | kind | meaning |
//! |---|---|---|
//! | 400, 422 | [`Rejected`](crate::ErrorKind::Rejected) | an invalid record, or an image in use |
//! | 400 `Duplicate key error` | [`NameTaken`](crate::ErrorKind::NameTaken) | the id exists already |
//! | 400 without a body, to a token | [`Unauthorized`](crate::ErrorKind::Unauthorized) | the server takes only a user and a password |
//! | 401 without a body, or with `WWW-Authenticate` | [`Unauthorized`](crate::ErrorKind::Unauthorized) | the user, password or token is wrong, or missing |
//! | 401 with a JSON body | [`Forbidden`](crate::ErrorKind::Forbidden) | the login lacks the privilege |
//! | 404 with a message in JSON | [`NotFound`](crate::ErrorKind::NotFound) | no such image or provider |
//! | 404 `Not found`, to a list of a provider | [`NotFound`](crate::ErrorKind::NotFound) | no such provider |
//! | any other 404 | [`UnknownRoute`](crate::ErrorKind::UnknownRoute) | the base URL or the version is wrong, or version 2 got an id with a slash |
//! | 406, 415 | [`UnexpectedStatus`](crate::ErrorKind::UnexpectedStatus) | a proxy removed headers that this client always sends |
//! | 5xx | [`Server`](crate::ErrorKind::Server) | the server failed, or a proxy before it |

mod call;
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

pub use call::Call;
pub use client::Client;
pub use create::Create;
pub use images::Images;
pub use list::List;
pub use model::{Created, Deleted, Image, ImageId, NewImage, Updated};
pub use update::Update;
pub use version::ApiVersion;

pub use crate::client::ClientBuilder;
pub use crate::model::Extra;
