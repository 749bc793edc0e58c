//! What a service means by an answer that is no success.

use std::borrow::Cow;

use reqwest::Method;
use reqwest::header::HeaderMap;

use crate::error::{ErrorKind, FieldErrors};

/// How one of the two services is described to the transport.
pub(crate) struct Service {
    /// Reads what a refusal means beyond its status, if it does.
    pub(crate) meaning: fn(&Refused<'_>) -> Option<Meaning>,
}

/// An answer that is no success, and the request to it.
pub(crate) struct Refused<'a> {
    pub(crate) method: &'a Method,
    /// Path of the request, as it was sent.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    /// The scheme of the `Authorization` that was sent: `Basic`, `Bearer`.
    pub(crate) login: Option<&'a str>,
    pub(crate) status: u16,
    pub(crate) headers: &'a HeaderMap,
    /// Whether there is no body.
    pub(crate) empty: bool,
    /// Whether the body is of the API's form.
    pub(crate) from_api: bool,
    pub(crate) message: Option<&'a str>,
    pub(crate) fields: Option<&'a FieldErrors>,
}

/// The kind, and what to say in place of the bare status.
pub(crate) struct Meaning {
    pub(crate) kind: ErrorKind,
    pub(crate) text: Cow<'static, str>,
}

impl Meaning {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<Cow<'static, str>>) -> Option<Self> {
        let text = text.into();
        Some(Self { kind, text })
    }

    /// A 404 that is not the API's.
    pub(crate) fn unknown_route() -> Option<Self> {
        let text = "no such route: is the base URL right?";
        Self::new(ErrorKind::UnknownRoute, text)
    }
}
