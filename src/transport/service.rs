//! The meaning of a service's errors.

use std::borrow::Cow;

use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::error::{ErrorKind, FieldErrors};

/// A service, as it is described to the transport.
pub(crate) struct Service {
    /// Returns the meaning of an error beyond its status.
    pub(crate) meaning: fn(&Refused<'_>) -> Option<Meaning>,
}

/// An error response, and its request.
pub(crate) struct Refused<'a> {
    pub(crate) method: &'a Method,
    /// The path of the request, as it was sent.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    /// The scheme of the `Authorization` header: `Basic`, `Bearer`.
    pub(crate) login: Option<&'a str>,
    pub(crate) status: u16,
    pub(crate) headers: &'a HeaderMap,
    /// There is no body.
    pub(crate) empty: bool,
    /// The body has the form of the API's errors.
    pub(crate) from_api: bool,
    pub(crate) message: Option<&'a str>,
    pub(crate) fields: Option<&'a FieldErrors>,
}

/// The kind of an error, and the message in place of the bare status.
pub(crate) struct Meaning {
    pub(crate) kind: ErrorKind,
    pub(crate) text: Cow<'static, str>,
}

impl Meaning {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<Cow<'static, str>>) -> Option<Self> {
        let text = text.into();
        Some(Self { kind, text })
    }

    /// Returns the meaning of a 404 that is not the API's.
    pub(crate) fn unknown_route() -> Option<Self> {
        let text = "no such route: is the base URL right?";
        Self::new(ErrorKind::UnknownRoute, text)
    }
}
