//! The user that a token belongs to.

use reqwest::Method;

use super::model::{User, UserId};
use crate::error::{ErrorKind, Result};
use crate::transport::{Request, Transport};

/// `GET /user`
pub(super) async fn user(transport: &Transport) -> Result<User> {
    let request = Request::new(Method::GET).path(["user"])?;
    match transport.fetch(request).await {
        Err(error) if error.kind() == ErrorKind::NotFoundOrUnauthorized => {
            Err(error.meaning(ErrorKind::Unauthorized, "the token is wrong"))
        }
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
