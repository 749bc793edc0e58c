//! The user that a token belongs to.

use reqwest::Method;

use super::{Client, User};
use crate::error::{ErrorKind, Result};
use crate::operation::Operation;
use crate::transport::{Request, Transport};

impl Client {
    /// Checks the base URL and the token, and returns the user that the token belongs to.
    ///
    /// `Endpoint: GET /user`
    ///
    /// A Djinn CI server answers 404 to a bad token, as it does to a missing image. This call tells
    /// the two apart: it fails only if the server cannot be reached, the base URL leads elsewhere,
    /// or the token is wrong. It says nothing of the token's scopes.
    ///
    /// The call is not in the written API; a real server was seen to answer it.
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
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) if the token is wrong or missing;
    /// [`UnknownRoute`](crate::ErrorKind::UnknownRoute) if the base URL is not that of the API;
    /// [`Connect`](crate::ErrorKind::Connect), [`Tls`](crate::ErrorKind::Tls) and the like.
    #[doc(alias = "whoami")]
    #[doc(alias = "login")]
    pub async fn check(&self) -> Result<User> {
        Operation::new("check login")
            .run(user(&self.transport))
            .await
    }
}

pub(super) async fn user(transport: &Transport) -> Result<User> {
    let request = Request::new(Method::GET).path(["user"])?;
    match transport.fetch(request).await {
        Err(error) if error.kind() == ErrorKind::NotFoundOrUnauthorized => {
            Err(error.meaning(ErrorKind::Unauthorized, "the token is wrong"))
        }
        answer => answer?.json(),
    }
}
