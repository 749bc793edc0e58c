//! Images of a DevOps Service, version 3.
//!
//! [`Client::images`] has the operations; each returns a builder that ends in `send()`.
//!
//! No public server of version 3 is known. What this module says of a server's habits was seen in
//! version 2, whose answers are read as well: what they lack is `None`.
//!
//! | status | kind | what it means here |
//! |---|---|---|
//! | 400 | [`Rejected`](crate::ErrorKind::Rejected) | an invalid record, or an image in use |
//! | 401 | [`Unauthorized`](crate::ErrorKind::Unauthorized) | a bad login, **or** one without the privilege |
//! | 404 | [`NotFound`](crate::ErrorKind::NotFound) | no such image or provider; with the message `Not found`, no such route: the base URL leads elsewhere |
//! | 406, 415 | [`UnexpectedStatus`](crate::ErrorKind::UnexpectedStatus) | a proxy took the headers away that this client always sends |
//! | 5xx | [`Server`](crate::ErrorKind::Server) | the server failed, or a proxy before it |

mod call;
mod create;
mod delete;
mod get;
mod list;
mod model;
mod service;
mod update;

pub use call::Call;
pub use list::List;
pub use model::{Created, Deleted, Image, ImageId, NewImage, Updated};
pub use update::Update;

pub use crate::client::ClientBuilder;
pub use crate::model::Extra;

use secrecy::SecretString;

use crate::client::{from_env, invalid, required_env};
use crate::error::Result;
use crate::transport::Transport;
use service::SERVICE;

/// The operations on images; cheap to clone.
///
/// An id is one segment of a path, whatever characters it has: `/`, `?`, `%` and the like are
/// percent-encoded. The empty id, `.` and `..` cannot be written in a URL; every operation on
/// one refuses them with [`InvalidInput`](crate::ErrorKind::InvalidInput) before a byte is sent.
#[derive(Clone, Debug)]
pub struct Images {
    transport: Transport,
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

    /// Starts building a client for the service at `base`, such as `https://devops.example.org`:
    /// what stands before `/v3`, with or without a slash at its end.
    pub fn builder(base: impl Into<String>) -> ClientBuilder<Self> {
        ClientBuilder::new(base)
    }

    /// A client for the service that `DEVOPS_SERVER` names, with the token in `DEVOPS_TOKEN`, or
    /// else the login in `DEVOPS_USER` and `DEVOPS_PASSWORD`.
    ///
    /// If all three are set, the token is what is sent: whoever sets one beside a login that is
    /// always there means it. A variable that is set to nothing counts as not set.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the server is not set, or neither a token nor a whole login,
    /// or as in [`ClientBuilder::build`].
    pub fn from_env() -> Result<Self> {
        let builder = Self::builder(required_env("DEVOPS_SERVER")?);
        match (from_env("DEVOPS_TOKEN"), from_env("DEVOPS_USER")) {
            (Some(token), _) => builder.token(token),
            (None, Some(user)) => builder.basic(user, required_env("DEVOPS_PASSWORD")?),
            (None, None) => {
                let why = "neither DEVOPS_TOKEN nor DEVOPS_USER is set";
                return Err(invalid(why));
            }
        }
        .build()
    }
}

impl ClientBuilder<Client> {
    /// Sends `Authorization: Basic` with this login, which is what servers of version 2 take.
    ///
    /// Of this and [`token`](Self::token) the later call counts.
    pub fn basic(self, user: impl Into<String>, password: impl Into<SecretString>) -> Self {
        self.set_basic(user.into(), password.into())
    }

    /// Checks the settings and makes the client. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): the base URL is not one of `http` or `https`, or carries
    /// credentials, a query or a fragment; the user's name has a colon in it; the token or the
    /// user agent cannot be in a header; a certificate or the proxy cannot be read; the TLS
    /// library cannot be set up.
    pub fn build(self) -> Result<Client> {
        let transport = self.transport(&SERVICE)?;
        let images = Images { transport };
        Ok(Client { images })
    }
}
