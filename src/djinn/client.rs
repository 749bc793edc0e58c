//! A client of a Djinn CI server, and what it is built with.

use super::images::Images;
use super::service::SERVICE;
use crate::client::{ClientBuilder, required_env};
use crate::error::Result;
use crate::transport::Transport;

/// A client of one Djinn CI server; cheap to clone.
///
/// ```
/// use machine_images::djinn;
///
/// # fn example() -> machine_images::Result<()> {
/// let client = djinn::Client::builder("https://api.djinn-ci.com").token("1a2b3c").build()?;
/// let images = client.images();
/// # let _ = images;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) transport: Transport,
}

impl Client {
    /// Starts building a client for the API at `base`, such as `https://api.djinn-ci.com` or
    /// `https://ci.example.org/api`, with or without a slash at its end.
    pub fn builder(base: impl Into<String>) -> ClientBuilder<Self> {
        ClientBuilder::new(base)
    }

    /// A client for the server and the token that `DJINN_API_SERVER` and `DJINN_TOKEN` name.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if one of them is not set, or as in [`ClientBuilder::build`].
    pub fn from_env() -> Result<Self> {
        Self::builder(required_env("DJINN_API_SERVER")?)
            .token(required_env("DJINN_TOKEN")?)
            .build()
    }

    /// The images that the token's user can see.
    pub fn images(&self) -> Images {
        Images {
            transport: self.transport.clone(),
        }
    }
}

impl ClientBuilder<Client> {
    /// Checks the settings and makes the client. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): the base URL is not one of `http` or `https`, or carries
    /// credentials, a query or a fragment; the token or the user agent cannot be in a header; a
    /// certificate or the proxy cannot be read; the TLS library cannot be set up.
    pub fn build(self) -> Result<Client> {
        let transport = self.transport(&SERVICE)?;
        Ok(Client { transport })
    }
}
