//! A client of a DevOps Service, and what it is built with.

use secrecy::SecretString;

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
        ClientBuilder::new(base).set_locate(|base| locate(base, None))
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
        let transport = self.transport(&SERVICE)?;
        let version = ApiVersion::named_by(transport.base()).unwrap_or_default();
        let images = Images { transport, version };
        Ok(Client { images })
    }
}

impl ClientBuilder<Client> {
    /// Sets the version of the API. Defaults to the one that the base URL ends in, and to
    /// [`V3`](ApiVersion::V3) if it names none.
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
    /// A base URL that ends in another version is refused by [`build`](Self::build).
    pub fn api_version(self, version: ApiVersion) -> Self {
        self.set_locate(move |base| locate(base, Some(version)))
    }
}
