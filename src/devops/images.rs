//! The operations on images, and the path to one.

use reqwest::Method;

use super::model::ImageId;
use super::version::ApiVersion;
use crate::error::{Error, Result};
use crate::transport::{Request, Transport};

/// The operations on images; cheap to clone.
///
/// An id is one segment of a path, whatever characters it has: `/`, `?`, `%` and the like are
/// percent-encoded. The empty id, `.` and `..` cannot be written in a URL; every operation on
/// one refuses them with [`InvalidInput`](crate::ErrorKind::InvalidInput) before a byte is sent.
///
/// Version 2 decodes a path before it routes. It lists an image whose id has a slash or backslash,
/// and cannot get, update or delete it. An id that would lead such a server to another image, like
/// `x/../y`, is refused with `InvalidInput` if the [version](ApiVersion::V2) is known.
#[derive(Clone, Debug)]
pub struct Images {
    pub(super) transport: Transport,
    pub(super) version: ApiVersion,
}

impl Images {
    /// A request to `image/:image_id`.
    pub(super) fn on_image(&self, method: Method, id: &ImageId) -> Result<Request> {
        if self.version == ApiVersion::V2 && is_navigation(id.as_str()) {
            let message = "version 2 takes the slashes and dots of this id for a path to another";
            return Err(Error::invalid(message));
        }
        Request::new(method).path(["image", id.as_str()])
    }
}

/// Whether a server of version 2, which resolves a path after decoding it, would get to another
/// image or route by this id: `x/../y` is `y` there.
fn is_navigation(id: &str) -> bool {
    let mut parts = id.split(['/', '\\']);
    id.contains(['/', '\\']) && parts.any(|part| matches!(part, "" | "." | ".."))
}
