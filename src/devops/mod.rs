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
mod create;
mod delete;
mod get;
mod list;
mod model;
mod reconcile;
mod service;
mod update;
mod version;

pub use call::Call;
pub use create::Create;
pub use list::List;
pub use model::{Created, Deleted, Image, ImageId, NewImage, Updated};
pub use update::Update;
pub use version::ApiVersion;

pub use crate::client::ClientBuilder;
pub use crate::model::Extra;

use secrecy::SecretString;

use crate::client::{from_env, invalid, required_env, set_env};
use crate::error::Result;
use crate::transport::Transport;
use service::SERVICE;

/// The operations on images; cheap to clone.
///
/// An id is one segment of a path, whatever characters it has: `/`, `?`, `%` and the like are
/// percent-encoded. The empty id, `.` and `..` cannot be written in a URL; every operation on
/// one refuses them with [`InvalidInput`](crate::ErrorKind::InvalidInput) before a byte is sent.
///
/// Version 2 decodes a path before it routes. It lists an image whose id has a slash or backslash,
/// and cannot get, update or delete it. An id that would lead such a server to another image, like
/// `x/../y`, is refused with `InvalidInput` if the [version](ApiVersion::V2) is known.
#[derive(Clone, Debug)]
pub struct Images {
    transport: Transport,
    version: ApiVersion,
}

/// A client of one DevOps Service; cheap to clone.
///
/// ```
/// use machine_images::devops;
///
/// # fn example() -> machine_images::Result<()> {
/// let client = devops::Client::builder("https://devops.example.org")
///     .basic("gordon", "secret")
///     .build()?;
/// let images = client.images();
/// # let _ = images;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    images: Images,
}

impl Client {
    /// The images that the service knows.
    pub fn images(&self) -> Images {
        self.images.clone()
    }

    /// Starts building a client for the service at `base`, such as `https://devops.example.org`,
    /// with or without a slash at its end.
    ///
    /// A base that ends in `/v3` or `/v2.0` names the [version](ApiVersion), and is used as it is.
    /// Otherwise `/v3` is appended, or the version set with
    /// [`api_version`](ClientBuilder::api_version).
    pub fn builder(base: impl Into<String>) -> ClientBuilder<Self> {
        ClientBuilder::new(base)
    }

    /// Makes a client for the service that `DEVOPS_SERVER` names, with the token in
    /// `DEVOPS_TOKEN`, or else the login in `DEVOPS_USER` and `DEVOPS_PASSWORD`.
    ///
    /// If all are set, the token is used. A variable that is set to nothing counts as not set,
    /// except for `DEVOPS_PASSWORD`: an empty password is a password.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the server is not set, or neither a token nor a whole login,
    /// or as in [`ClientBuilder::build`].
    pub fn from_env() -> Result<Self> {
        let builder = Self::builder(required_env("DEVOPS_SERVER")?);
        match (from_env("DEVOPS_TOKEN"), from_env("DEVOPS_USER")) {
            (Some(token), _) => builder.token(token),
            (None, Some(user)) => builder.basic(user, set_env("DEVOPS_PASSWORD")?),
            (None, None) => {
                let why = "neither DEVOPS_TOKEN nor DEVOPS_USER is set";
                return Err(invalid(why));
            }
        }
        .build()
    }
}

impl ClientBuilder<Client> {
    /// Sends `Authorization: Basic` with this login, the only one that version 2 takes.
    ///
    /// The password may be empty, and both may have any characters but a colon in the user's name.
    /// Of this and [`token`](Self::token) the later call counts.
    pub fn basic(self, user: impl Into<String>, password: impl Into<SecretString>) -> Self {
        self.set_basic(user.into(), password.into())
    }

    /// Checks the settings and makes the client. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): the base URL is not one of `http` or `https`, or carries
    /// credentials, a query or a fragment, or names another version than is set; the user's name has a colon in it; the token or the
    /// user agent cannot be in a header; a certificate or the proxy cannot be read; the TLS
    /// library cannot be set up.
    pub fn build(self) -> Result<Client> {
        let transport = self.transport_at(&SERVICE, version::locate)?;
        let version = ApiVersion::named_by(transport.base()).unwrap_or_default();
        let images = Images { transport, version };
        Ok(Client { images })
    }
}
