use std::io;

use crate::error::{Cause, Error, ErrorKind, Refusal};
use crate::qcow2::{self, Inspection};

/// Returns an error of this kind, as a call of a client would.
///
/// [`Error::status`], [`Error::is_retryable`] and the text follow from the kind. For another
/// status or message, use [`status_error`].
///
/// ```
/// use machine_images::{ErrorKind, testing};
///
/// let error = testing::error(ErrorKind::RateLimited);
/// assert_eq!(error.kind(), ErrorKind::RateLimited);
/// assert_eq!(error.status(), Some(429));
/// assert!(error.is_retryable());
/// ```
#[must_use]
pub fn error(kind: ErrorKind) -> Error {
    let attempts = u32::from(kind != ErrorKind::InvalidInput);
    of_kind(kind).after(attempts, std::time::Duration::ZERO)
}

/// Returns the error of a call to which the server responded with this status and message.
///
/// The kind follows from the status: `NotFound` for 404, `Server` for 503 and so on.
///
/// ```
/// use machine_images::{ErrorKind, testing};
///
/// let error = testing::status_error(422, "Name already exists");
/// assert_eq!(error.kind(), ErrorKind::Rejected);
/// assert_eq!(error.message(), Some("Name already exists"));
/// assert_eq!(error.to_string(), "422 Unprocessable Entity: Name already exists");
/// assert_eq!(testing::status_error(422, " ").to_string(), "422 Unprocessable Entity");
/// ```
#[must_use]
pub fn status_error(status: u16, message: impl Into<String>) -> Error {
    refused(status, Some(message.into())).after(1, std::time::Duration::ZERO)
}

fn of_kind(kind: ErrorKind) -> Error {
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    let network = |text: &str, reason| Error::new(Cause::Network(kind, text.to_owned(), reason));
    let status = |status| refused(status, None);
    match kind {
        ErrorKind::InvalidInput => Error::invalid("the argument is invalid"),
        ErrorKind::Connect => {
            let reason = io::Error::from(io::ErrorKind::ConnectionRefused);
            network("cannot connect to 127.0.0.1:80", Some(reason.into()))
        }
        ErrorKind::Tls => network("the server's certificate is not trusted", None),
        ErrorKind::Proxy => status(407),
        ErrorKind::Transport => network("the connection broke", Some(reset().into())),
        ErrorKind::OutcomeUnknown => Error::new(Cause::OutcomeUnknown {
            is_missing: false,
            source: reset().into(),
        }),
        ErrorKind::NotSent => Error::new(Cause::NotSent {
            is_replayable: true,
            source: reset().into(),
        }),
        ErrorKind::Unauthorized => status(401),
        ErrorKind::Forbidden => status(403),
        ErrorKind::NotFound => status(404),
        ErrorKind::NotFoundOrUnauthorized => {
            status(404).meaning(kind, "not found, or the token is wrong")
        }
        ErrorKind::UnknownRoute => status(404).meaning(kind, "the base URL is wrong"),
        ErrorKind::NameTaken => status(400).meaning(kind, "the name exists already"),
        ErrorKind::Rejected => status(400),
        ErrorKind::TooLarge => status(413),
        ErrorKind::RateLimited => status(429),
        ErrorKind::Server => status(503),
        ErrorKind::UnexpectedStatus => status(418),
        ErrorKind::Decode => {
            let reason = "expected value at line 1 column 1";
            Error::new(Cause::Decode(reason.into()))
        }
        ErrorKind::Source => {
            let reason = io::ErrorKind::UnexpectedEof;
            Error::new(Cause::Source(reason.into()))
        }
        ErrorKind::ImageRejected => rejected_image(),
        _ => Error::plain(kind, kind.as_str().replace('_', " ")),
    }
}

fn refused(status: u16, message: Option<String>) -> Error {
    Error::new(Cause::Refused(Box::new(Refusal {
        status,
        message,
        ..Refusal::default()
    })))
}

/// Returns the error of an upload that is not an image.
fn rejected_image() -> Error {
    let content = b"not an image";
    let total = Some(content.len() as u64);
    match qcow2::inspect(content, total, &qcow2::Policy::default()) {
        Inspection::Done(report) => Error::new(Cause::Image(Box::new(report))),
        Inspection::NeedMore(_) => Error::plain(ErrorKind::ImageRejected, "not an image"),
    }
}
