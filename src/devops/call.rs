//! What the calls have in common: a request to be sent, and an answer in JSON.

use serde::de::DeserializeOwned;

use super::{ImageId, Images};
use crate::error::{ErrorKind, Result};
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

/// Names an operation on one image.
pub(super) fn operation(name: &'static str, id: &ImageId) -> Operation {
    Operation::new(name).on(format!("{:?}", id.as_str()))
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
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) for a bad login;
    /// [`Forbidden`](crate::ErrorKind::Forbidden) for a login that lacks the privilege;
    /// [`UnknownRoute`](crate::ErrorKind::UnknownRoute) if the base URL or the
    /// [version](crate::ClientBuilder::api_version) is wrong;
    /// [`Decode`](crate::ErrorKind::Decode) or
    /// [`UnexpectedContent`](crate::ErrorKind::UnexpectedContent) for an answer that is not the
    /// service's; and failures of the network.
    pub async fn send(self) -> Result<T> {
        let operation = self.operation.clone();
        operation.run(self.perform()).await
    }

    async fn perform(self) -> Result<T> {
        match (self.transport.fetch(self.request?).await, self.if_gone) {
            // An unknown route is 404, too, and of another kind.
            (Err(error), Some(gone))
                if error.kind() == ErrorKind::NotFound && error.attempts() > 1 =>
            {
                Ok(gone)
            }
            (answer, _) => answer?.json(),
        }
    }
}
