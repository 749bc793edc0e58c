//! The user that a token belongs to.

use reqwest::Method;

use super::client::Client;
use super::model::{User, UserId};
use crate::call::awaitable;
use crate::error::{ErrorKind, Result};
use crate::operation::Operation;
use crate::transport::{Request, Transport};

impl Client {
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
    #[doc(alias = "whoami")]
    #[doc(alias = "login")]
    pub fn check(&self) -> Check {
        Check {
            transport: self.transport.clone(),
        }
    }
}

/// A builder that checks the token: see [`Client::check`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent unless this is awaited"]
pub struct Check {
    transport: Transport,
}

impl Check {
    /// Sends the request. Awaiting the builder does the same.
    ///
    /// # Errors
    ///
    /// - [`Unauthorized`](crate::ErrorKind::Unauthorized) if the token is wrong or missing, or the
    ///   base URL has more than the path of the API, which gets the same response.
    /// - [`UnknownRoute`](crate::ErrorKind::UnknownRoute) if the base URL is not that of the API.
    /// - [`Connect`](crate::ErrorKind::Connect), [`Tls`](crate::ErrorKind::Tls) and the like if the
    ///   server cannot be reached.
    pub async fn send(self) -> Result<User> {
        let operation = Operation::new("check login");
        operation.run(user(&self.transport)).await
    }
}

awaitable!(Check, send -> User);

/// `GET /user`
pub(super) async fn user(transport: &Transport) -> Result<User> {
    let request = Request::new(Method::GET).path(["user"])?;
    match transport.fetch(request).await {
        Err(error) if error.kind() == ErrorKind::NotFoundOrUnauthorized => Err(error.meaning(
            ErrorKind::Unauthorized,
            "the token or the base URL is wrong",
        )),
        response => response?.json(),
    }
}

/// Returns `true` if an image's user is `user`: by the id, which not every server tells, or else
/// the name.
pub(super) fn is_user(user: &User, id: UserId, of_image: Option<&User>) -> bool {
    match user.id {
        Some(user) => id == user,
        None => of_image.is_some_and(|of_image| of_image.username == user.username),
    }
}
