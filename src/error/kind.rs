//! The kinds of errors.

use std::fmt;

/// Declares [`ErrorKind`] with each kind's name in one place.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal;)*) => {
        /// The kind of an [`Error`](crate::Error).
        ///
        /// [`Display`](fmt::Display) and [`as_str`](ErrorKind::as_str) give the name in
        /// snake_case. The names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind { $($(#[$doc])* $kind,)* }

        impl ErrorKind {
            /// Returns the name of the kind, in snake_case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }
        }
    };
}

kinds! {
    /// An argument is invalid. No request was sent.
    InvalidInput = "invalid_input";
    /// No connection could be made. The request was not sent.
    Connect = "connect";
    /// The server's certificate is not trusted, or only one side speaks TLS.
    Tls = "tls";
    /// The proxy refused the credentials (407).
    Proxy = "proxy";
    /// The server did not answer in time, or a wait reached its timeout.
    Timeout = "timeout";
    /// A transfer made no progress for too long.
    Stalled = "stalled";
    /// The connection broke.
    #[doc(alias = "network")]
    Transport = "transport";
    /// A creation was sent completely, but no answer came. The image may or may not exist.
    OutcomeUnknown = "outcome_unknown";
    /// A creation was not sent completely, so the server created nothing.
    ///
    /// Retryable if the source can be read again.
    NotSent = "not_sent";
    /// The server redirected the request to where it must not be sent.
    Redirect = "redirect";
    /// The credentials are missing or wrong (401).
    Unauthorized = "unauthorized";
    /// The credentials lack a permission (403; on a DevOps Service also 401 with a message).
    #[doc(alias = "permission")]
    Forbidden = "forbidden";
    /// The image, or the provider, does not exist (404). Only a DevOps Service says so: a call to a
    /// Djinn CI server fails with [`NotFoundOrUnauthorized`](Self::NotFoundOrUnauthorized).
    NotFound = "not_found";
    /// The image does not exist, or the token is wrong or lacks a permission.
    ///
    /// A Djinn CI server answers 404 in all of these cases.
    NotFoundOrUnauthorized = "not_found_or_unauthorized";
    /// The server has no such route (a 404 not in the API's form). Check the base URL.
    UnknownRoute = "unknown_route";
    /// An image with this name or id already exists.
    #[doc(alias = "conflict")]
    NameTaken = "name_taken";
    /// The server rejected the parameters or the image (400, 409, 422).
    Rejected = "rejected";
    /// The image is larger than the server, or a proxy in front of it, accepts (413, and 500 of a
    /// Djinn CI server that says so).
    TooLarge = "too_large";
    /// The server received too many requests (429).
    #[doc(alias = "throttle")]
    RateLimited = "rate_limited";
    /// The server failed (5xx).
    Server = "server";
    /// The status is not part of the API.
    UnexpectedStatus = "unexpected_status";
    /// The answer has another type than requested, such as HTML instead of an image.
    UnexpectedContent = "unexpected_content";
    /// The body of the answer could not be decoded.
    #[doc(alias = "json")]
    Decode = "decode";
    /// The body was longer or shorter than announced.
    Length = "length";
    /// The requested range is past the end of the image, or the server sent another one.
    Range = "range";
    /// The image changed on the server during the transfer.
    #[doc(alias = "etag")]
    Changed = "changed";
    /// A response, content collected in memory, or the pages or passes of a listing exceed a limit.
    Limit = "limit";
    /// The source of an upload failed, or yielded more or fewer bytes than its length.
    Source = "source";
    /// A local file could not be read or written, a thread could not be started, or the runtime was
    /// shut down.
    Io = "io";
    /// Another process or task is writing the same target, or removed its partial file.
    #[doc(alias = "lock")]
    Busy = "busy";
    /// The content does not have the expected digest.
    #[doc(alias = "checksum")]
    #[doc(alias = "verify")]
    DigestMismatch = "digest_mismatch";
    /// A webhook's delivery has no signature.
    #[doc(alias = "hmac")]
    SignatureMissing = "signature_missing";
    /// The signature of a webhook's delivery matches none of the secrets.
    #[doc(alias = "hmac")]
    SignatureMismatch = "signature_mismatch";
    /// The inspection rejected the image. It was not sent or saved; after a
    /// [wait](crate::djinn::Images::wait_downloaded) it is still on the server.
    ImageRejected = "image_rejected";
    /// The server is still downloading the image.
    NotReady = "not_ready";
    /// The server could not download the image. The message says why.
    DownloadFailed = "download_failed";
    /// The image was deleted during a wait.
    Deleted = "deleted";
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
