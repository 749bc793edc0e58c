//! The client of a Djinn CI server.

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
    /// Starts building a client for the API at `base`, such as `https://api.djinn-ci.com`.
    ///
    /// A self-hosted server may serve the API under a path: `https://ci.example.org/api`. A slash at
    /// the end makes no difference.
    pub fn builder(base: impl Into<String>) -> ClientBuilder<Self> {
        ClientBuilder::new(base)
    }

    /// Builds a client from the environment variables `DJINN_API_SERVER` and `DJINN_TOKEN`.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidInput`](crate::ErrorKind::InvalidInput) if one of them is not set, or as
    /// [`build`](ClientBuilder::build) does.
    pub fn from_env() -> Result<Self> {
        Self::builder(required_env("DJINN_API_SERVER")?)
            .token(required_env("DJINN_TOKEN")?)
            .build()
    }

    /// Returns the operations on images.
    pub fn images(&self) -> Images {
        Images {
            transport: self.transport.clone(),
        }
    }
}

impl ClientBuilder<Client> {
    /// Checks the settings and builds the client. Nothing is sent.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidInput`](crate::ErrorKind::InvalidInput) if
    /// - the base URL is not `http` or `https`, or has credentials, a query or a fragment;
    /// - the token is empty or contains white space, or the user agent cannot be sent in a header;
    /// - a certificate or the proxy's URL cannot be parsed, or the TLS library cannot be set up;
    /// - the base URL is `https`, or a certificate is set, and the crate is built without TLS.
    pub fn build(self) -> Result<Client> {
        let transport = self.transport(&SERVICE)?;
        Ok(Client { transport })
    }
}
