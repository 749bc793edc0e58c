//! Failures of a request: the kind, a message, and the reason behind it.

use std::error::Error as StdError;
use std::io;

use url::Url;

use crate::error::{Cause, ErrorKind};

/// Returns the cause of a failed request to `url`; `knows_http` if a response came from there before.
pub(super) fn cause(error: reqwest::Error, url: &Url, knows_http: bool) -> Cause {
    let error = error.without_url();
    if let Some((kind, message, reason)) = lasting(&error, url, knows_http) {
        return Cause::Network(kind, message.into(), reason.map(Into::into));
    }
    let reason = root(&error);
    if error.is_builder() {
        let length = url.as_str().len();
        let message = format!("a URL of {length} bytes is too long or invalid");
        return Cause::Plain(ErrorKind::InvalidInput, message);
    }
    if error.is_connect() {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        let message = format!("cannot connect to {host}:{port}");
        return Cause::Network(ErrorKind::Connect, message, Some(reason.into()));
    }
    let message = "the connection broke".to_owned();
    Cause::Network(ErrorKind::Transport, message, Some(reason.into()))
}

/// Returns the kind, message and reason of a failure that a retry cannot change.
fn lasting(
    error: &reqwest::Error,
    url: &Url,
    knows_http: bool,
) -> Option<(ErrorKind, &'static str, Option<String>)> {
    let in_handshake = error.is_connect();
    if let Some((message, reason)) = chain(error).find_map(|error| tls(error, in_handshake)) {
        return Some((ErrorKind::Tls, message, reason));
    }
    // The rest of an earlier response is not HTTP either, but that is temporary.
    let may_be_tls = url.scheme() == "http" && !knows_http;
    if may_be_tls && is_other_protocol(error) {
        let message = "the response is not HTTP: the base URL may need https";
        return Some((ErrorKind::Tls, message, Some(root(error))));
    }
    // The type of this error is private to the HTTP client.
    let refused_login = |error: &(dyn StdError + 'static)| {
        error.to_string().contains("proxy authorization required")
    };
    if chain(error).any(refused_login) {
        let message = "the proxy requires another login (407 Proxy Authentication Required)";
        return Some((ErrorKind::Proxy, message, None));
    }
    None
}

/// Returns `true` if the response is not HTTP, so that the request has arrived.
pub(super) fn is_other_protocol(error: &reqwest::Error) -> bool {
    // A truncated response cannot be parsed either; hyper tells them apart by the text only.
    chain(error).any(|error| {
        let is_parse = error.downcast_ref().is_some_and(hyper::Error::is_parse);
        is_parse && error.to_string().contains("invalid HTTP version")
    })
}

/// Returns the message and reason of a failed handshake. Any later failure of TLS is that of a
/// connection, except that a server may refuse a certificate after the handshake, which only rustls
/// tells apart.
fn tls(
    error: &(dyn StdError + 'static),
    in_handshake: bool,
) -> Option<(&'static str, Option<String>)> {
    // The inner error of an `io::Error` is not its source.
    let inner = error.downcast_ref::<io::Error>().and_then(|error| {
        let inner = error.get_ref()?;
        Some(inner as &(dyn StdError + 'static))
    });
    let inner = inner.and_then(|inner| tls(inner, in_handshake));
    inner.or_else(|| library(error, in_handshake))
}

#[cfg(any(
    feature = "rustls",
    feature = "rustls-no-provider",
    feature = "native-tls"
))]
mod words {
    pub(super) const NOT_TRUSTED: &str = "the server's certificate is not trusted";
    pub(super) const NOT_TLS: &str = "the server does not speak TLS: the base URL may need http";
    pub(super) const HANDSHAKE: &str = "the TLS handshake failed";
}

#[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
fn rustls(
    error: &(dyn StdError + 'static),
    in_handshake: bool,
) -> Option<(&'static str, Option<String>)> {
    use rustls::AlertDescription as Alert;

    Some(match error.downcast_ref()? {
        rustls::Error::InvalidCertificate(reason) => {
            (words::NOT_TRUSTED, Some(format!("{reason:?}")))
        }
        other @ rustls::Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => (words::HANDSHAKE, Some(other.to_string())),
        _ if !in_handshake => return None,
        rustls::Error::InvalidMessage(_) => (words::NOT_TLS, None),
        other => (words::HANDSHAKE, Some(other.to_string())),
    })
}

#[cfg(feature = "native-tls")]
fn native(
    error: &(dyn StdError + 'static),
    in_handshake: bool,
) -> Option<(&'static str, Option<String>)> {
    let error = error.downcast_ref::<native_tls::Error>();
    let reason = error.filter(|_| in_handshake)?.to_string();
    // The libraries of the systems have only these words in common.
    let message = if reason.contains("certificate") {
        words::NOT_TRUSTED
    } else if reason.contains("wrong version") || reason.contains("packet length") {
        words::NOT_TLS
    } else {
        words::HANDSHAKE
    };
    Some((message, Some(reason)))
}

fn library(
    error: &(dyn StdError + 'static),
    in_handshake: bool,
) -> Option<(&'static str, Option<String>)> {
    let found = None;
    #[cfg(feature = "native-tls")]
    let found = found.or_else(|| native(error, in_handshake));
    #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
    let found = found.or_else(|| rustls(error, in_handshake));
    let _ = (error, in_handshake);
    found
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Returns an error and its sources in one line.
pub(super) fn line(error: &(dyn StdError + 'static)) -> String {
    let all: Vec<_> = chain(error).map(ToString::to_string).collect();
    all.join(": ")
}

/// Returns the last source of an error.
fn root(error: &(dyn StdError + 'static)) -> String {
    let last = chain(error).last().unwrap_or(error);
    last.to_string()
}
