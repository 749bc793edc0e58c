//! The client of a Djinn CI server.

use super::images::Images;
use super::model::User;
use super::service::SERVICE;
use super::user::user;
use crate::client::{ClientBuilder, required_env};
use crate::error::Result;
use crate::operation::Operation;
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
    transport: Transport,
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

    /// Checks the base URL and the token, and returns the user that the token belongs to.
    ///
    /// `Endpoint: GET /user`
    ///
    /// A Djinn CI server sends the same 404 for a bad token as for a missing image. This call tells
    /// the two apart: it fails only if the server cannot be reached, the base URL is not that of
    /// the API, or the token is wrong. It does not check the token's scopes.
    ///
    /// The endpoint is not documented; a real server was observed to have it.
    ///
    /// ```
    /// # async fn example(client: machine_images::djinn::Client) -> machine_images::Result<()> {
    /// let user = client.check().await?;
    /// println!("logged in as {}", user.username);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Unauthorized`](crate::ErrorKind::Unauthorized) if the token is wrong or missing.
    /// - [`UnknownRoute`](crate::ErrorKind::UnknownRoute) if the base URL is not that of the API.
    /// - [`Connect`](crate::ErrorKind::Connect), [`Tls`](crate::ErrorKind::Tls) and the like if the
    ///   server cannot be reached.
    #[doc(alias = "whoami")]
    #[doc(alias = "login")]
    pub async fn check(&self) -> Result<User> {
        let operation = Operation::new("check login");
        operation.run(user(&self.transport)).await
    }
}

impl ClientBuilder<Client> {
    /// Checks the settings and builds the client. Nothing is sent.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidInput`](crate::ErrorKind::InvalidInput) if
    /// - the base URL is not `http` or `https`, or has credentials, a query or a fragment;
    /// - the token or the user agent cannot be sent in a header;
    /// - a certificate or the proxy's URL cannot be parsed, or the TLS library cannot be set up.
    pub fn build(self) -> Result<Client> {
        let transport = self.transport(&SERVICE)?;
        Ok(Client { transport })
    }
}
