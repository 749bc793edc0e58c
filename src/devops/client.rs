//! The client of a DevOps Service, and the settings that only it has.

use super::images::Images;
use super::service::SERVICE;
use super::version::{ApiVersion, locate};
use crate::client::{ClientBuilder, from_env, invalid, required_env, set_env};
use crate::error::Result;

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
    /// Returns the operations on images.
    pub fn images(&self) -> Images {
        self.images.clone()
    }

    /// Starts building a client for the service at `base`, such as `https://devops.example.org`.
    ///
    /// A slash at its end makes no difference. A base that ends in `/v3` or `/v2.0` names the
    /// [version](ApiVersion), and is used as it is. Otherwise `/v3` is appended, or the version set
    /// with [`api_version`](ClientBuilder::api_version).
    pub fn builder(base: impl Into<String>) -> ClientBuilder<Self> {
        ClientBuilder::new(base).set_locate(|base| locate(base, None))
    }

    /// Builds a client from environment variables.
    ///
    /// `DEVOPS_SERVER` is the base URL. The token is `DEVOPS_TOKEN`, or else the login is
    /// `DEVOPS_USER` with `DEVOPS_PASSWORD`. If all are set, the token is used. An empty variable
    /// counts as not set, except for `DEVOPS_PASSWORD`: an empty password is a password.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidInput`](crate::ErrorKind::InvalidInput) if the server is not set, or
    /// neither a token nor a complete login, or as [`build`](ClientBuilder::build) does.
    pub fn from_env() -> Result<Self> {
        let builder = Self::builder(required_env("DEVOPS_SERVER")?);
        match (from_env("DEVOPS_TOKEN")?, from_env("DEVOPS_USER")?) {
            (Some(token), _) => builder.token(token),
            (None, Some(user)) => builder.basic(user, set_env("DEVOPS_PASSWORD")?),
            (None, None) => {
                return Err(invalid("neither DEVOPS_TOKEN nor DEVOPS_USER is set"));
            }
        }
        .build()
    }
}

impl ClientBuilder<Client> {
    /// Authenticates with `Authorization: Basic`, the only scheme that version 2 accepts.
    ///
    /// The password may be empty, and both may have any characters but a colon in the user's name.
    /// Of this and [`token`](Self::token) the later call wins.
    #[doc(alias = "login")]
    #[doc(alias = "password")]
    pub fn basic(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.set_basic(user.into(), password.into().into())
    }

    /// Sets the version of the API. Defaults to the one that the base URL ends in, or else to
    /// [`V3`](ApiVersion::V3).
    ///
    /// These are the same client:
    ///
    /// ```
    /// use machine_images::devops::{ApiVersion, Client};
    ///
    /// # fn example() -> machine_images::Result<()> {
    /// let client = Client::builder("https://devops.example.org")
    ///     .api_version(ApiVersion::V2)
    ///     .build()?;
    /// let client = Client::builder("https://devops.example.org/v2.0").build()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// With a base URL that ends in another version, [`build`](Self::build) fails.
    pub fn api_version(self, version: ApiVersion) -> Self {
        self.set_locate(move |base| locate(base, Some(version)))
    }

    /// Checks the settings and builds the client. Nothing is sent.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidInput`](crate::ErrorKind::InvalidInput) if
    /// - the base URL is not `http` or `https`, has credentials, a query or a fragment, or names
    ///   another version than the one set;
    /// - the token is empty or contains white space, the user agent cannot be sent in a header, or the
    ///   user's name has a colon;
    /// - a certificate or the proxy's URL cannot be parsed, or the TLS library cannot be set up;
    /// - the base URL is `https`, or a certificate is set, and the crate is built without TLS.
    pub fn build(self) -> Result<Client> {
        let transport = self.transport(&SERVICE)?;
        let version = ApiVersion::named_by(transport.base()).unwrap_or_default();
        let images = Images { transport, version };
        Ok(Client { images })
    }
}
