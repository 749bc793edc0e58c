use std::time::Duration;

use super::socket::Close;

/// A failure that an embedded server simulates.
///
/// Pass it to [`DjinnServer::inject`] or [`DevopsServer::inject`]. On its own it affects the next
/// request; [`on`](Self::on), [`when`](Self::when), [`times`](Self::times) and
/// [`always`](Self::always) select others.
///
/// ```
/// use machine_images::testing::{Close, DjinnServer, Fault};
///
/// let server = DjinnServer::start()?;
/// server.inject(Fault::status(503));
/// server.inject(
///     Fault::CutResponse { after: 1000, close: Close::Reset }
///         .on("GET", "/images/1")
///         .times(2),
/// );
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// [`DjinnServer::inject`]: super::DjinnServer::inject
/// [`DevopsServer::inject`]: super::DevopsServer::inject
///
#[doc = include_str!("faults.md")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Ends the connection after the request's head. The request is not processed.
    DropRequest {
        /// The way to close the connection.
        close: Close,
    },
    /// Ends the connection in the middle of the request's body. The request is not processed.
    CutRequest {
        /// The number of body bytes to read first. The server reads in blocks, so it may read
        /// more.
        after: u64,
        /// The way to close the connection.
        close: Close,
    },
    /// Processes the request, then ends the connection without a response.
    DropResponse {
        /// The way to close the connection.
        close: Close,
    },
    /// Ends the connection in the middle of the response's body. A shorter response arrives whole.
    CutResponse {
        /// The number of body bytes to send first. A reset may lose some of them.
        after: u64,
        /// The way to close the connection.
        close: Close,
    },
    /// Pauses in the middle of the request's body.
    StallRequest {
        /// The number of body bytes to read first.
        after: u64,
        /// The length of the pause.
        wait: Duration,
    },
    /// Processes the request, and delays the response.
    DelayResponse {
        /// The delay.
        wait: Duration,
    },
    /// Pauses in the middle of the response's body.
    StallResponse {
        /// The number of body bytes to send first, after the head.
        after: u64,
        /// The length of the pause.
        wait: Duration,
    },
    /// Restarts the server: resets all connections, refuses new ones for a while, then serves
    /// on with the same images.
    ///
    /// The servers' method `restart` does the same without a request.
    Restart {
        /// Processes the request before the restart if `true`.
        done: bool,
        /// The time for which connections are refused.
        wait: Duration,
    },
    /// Delays the creation of an uploaded image, and the response, after the whole body has
    /// arrived. Other requests and invalid uploads are not delayed.
    SlowCopy {
        /// The time between the last byte of the upload and the creation of the image.
        wait: Duration,
        /// If the client closes the connection in the meantime, `true` creates the image anyway.
        /// `false` creates none, like the real Djinn CI server.
        outlives_client: bool,
    },
    /// Sends the response's body in small pieces.
    Trickle {
        /// The number of bytes in a piece.
        bytes: usize,
        /// The pause between two pieces.
        every: Duration,
    },
    /// Responds with a status and a JSON message once the request's body has arrived. The request
    /// is not processed.
    Status {
        /// The status.
        status: u16,
        /// The `Retry-After` header.
        retry_after: Option<RetryAfter>,
    },
    /// Responds with a page of HTML, like a proxy. The request is not processed.
    Html {
        /// The status.
        status: u16,
    },
    /// Responds in the middle of the request's body. The request is not processed.
    EarlyResponse {
        /// The status.
        status: u16,
        /// The number of body bytes to read first.
        after: u64,
        /// [`Close::Clean`] discards the rest of the body for a while, so that the client can
        /// read the response. [`Close::Reset`] resets the connection right after the response.
        close: Close,
    },
    /// Responds with `200` with truncated JSON. The request is not processed.
    GarbageJson,
    /// Responds with `200` with a JSON array that ends after 1 GiB. The request is not processed.
    EndlessJson,
    /// Responds with a redirect. The request is not processed.
    Redirect {
        /// The status.
        status: u16,
        /// The relative or absolute target.
        location: String,
    },
    /// Responds with a redirect to the same target. The request is not processed. Meant for
    /// [`always`](Self::always).
    RedirectLoop {
        /// The status.
        status: u16,
    },
    /// Sends a wrong `Content-Length`. If it is too large, the connection ends after the body; if
    /// it is too small, the rest of the body follows anyway.
    ContentLength {
        /// The bytes to add to the true length.
        by: i64,
    },
    /// Sends a `206` with a wrong `Content-Range`, and the bytes that were asked for.
    RangeStart {
        /// The bytes to add to the first and last position.
        by: i64,
    },
    /// Sends a `206` with a wrong total in `Content-Range`.
    RangeTotal {
        /// The bytes to add to the true total.
        by: i64,
    },
    /// Responds to a request for a range with `200` and the whole content.
    IgnoreRange,
    /// Like [`IgnoreRange`](Self::IgnoreRange), and leaves out `Accept-Ranges`.
    RefuseRanges,
    /// Sends another `Last-Modified`, as if the image had been replaced.
    LastModified {
        /// The seconds to add.
        by: i64,
    },
    /// Replaces or adds a header of the response.
    Header {
        /// The header's name.
        name: String,
        /// The header's value.
        value: String,
    },
    /// Removes a header of the response.
    WithoutHeader {
        /// The header's name.
        name: String,
    },
}

impl Fault {
    /// Returns a [`Fault::Status`] without `Retry-After`.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            retry_after: None,
        }
    }

    /// Returns a [`Fault::Header`].
    #[must_use]
    pub fn header(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Header {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// A value of the `Retry-After` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// A number of seconds.
    Seconds(u64),
    /// A date this many seconds after the response.
    Date(u32),
}
