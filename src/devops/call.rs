//! What the calls have in common: a request to be sent, and an answer in JSON.

use reqwest::Method;
use serde::de::DeserializeOwned;

use super::{ImageId, Images};
use crate::error::Result;
use crate::operation::Operation;
use crate::transport::{Request, Transport};

/// A call that is ready to be sent, and yields a `T`: see the operations of [`Images`].
#[must_use = "nothing is sent before `send`"]
pub struct Call<T> {
    operation: Operation,
    transport: Transport,
    request: Result<Request>,
    if_gone: Option<T>,
}

impl Images {
    pub(super) fn call<T>(&self, operation: Operation, request: Result<Request>) -> Call<T> {
        Call {
            operation,
            transport: self.transport.clone(),
            request,
            if_gone: None,
        }
    }
}

impl<T: DeserializeOwned> Call<T> {
    /// The answer if a repeated request finds that there is no such image.
    pub(super) fn if_gone(mut self, answer: T) -> Self {
        self.if_gone = Some(answer);
        self
    }

    /// Sends the request.
    ///
    /// # Errors
    ///
    /// Those of the operation, and those of every call:
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) for a bad login or a missing privilege,
    /// which the service does not tell apart; [`Decode`](crate::ErrorKind::Decode) or
    /// [`UnexpectedContent`](crate::ErrorKind::UnexpectedContent) for an answer that is not the
    /// service's; and what a network does.
    pub async fn send(self) -> Result<T> {
        let operation = self.operation.clone();
        operation.run(self.perform()).await
    }

    async fn perform(self) -> Result<T> {
        match (self.transport.fetch(self.request?).await, self.if_gone) {
            // An unknown route is 404, too, but not in the form of the API.
            (Err(error), Some(gone))
                if error.status() == Some(404) && error.is_from_api() && error.attempts() > 1 =>
            {
                Ok(gone)
            }
            (answer, _) => answer?.json(),
        }
    }
}

/// A request to `/v3/image/:image_id`.
pub(super) fn on_image(method: Method, id: &ImageId) -> Result<Request> {
    Request::new(method).path(["v3", "image", id.as_str()])
}
