//! The operations on images, and the path to one image.

use reqwest::Method;

use super::model::ImageId;
use super::version::ApiVersion;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::transport::{Request, Transport, check_segment};

/// The operations on images; cheap to clone.
///
/// An id is one segment of a path, whatever characters it has: `/`, `?`, `%` and the like are
/// percent-encoded. The empty id, `.` and `..` cannot be written in a URL; every operation on
/// one fails with [`InvalidInput`](crate::ErrorKind::InvalidInput) before anything is sent.
///
/// Version 2 decodes a path before it routes. It lists an image whose id has a slash or backslash,
/// and cannot get, update or delete it. An id that would lead such a server to another image, like
/// `x/../y`, fails with `InvalidInput` if the [version](ApiVersion::V2) is set.
#[derive(Clone, Debug)]
pub struct Images {
    pub(super) transport: Transport,
    pub(super) version: ApiVersion,
}

impl Images {
    /// Refuses an id by which a request would not get to its image.
    pub(super) fn check_id(&self, id: &ImageId) -> Result<()> {
        if self.version == ApiVersion::V2 && is_navigation(id.as_str()) {
            let message = "version 2 would resolve the slashes and dots of this id to another path";
            return Err(Error::invalid(message));
        }
        check_segment(id.as_str())
    }

    /// Starts a request to `image/:image_id`.
    pub(super) fn request(&self, method: Method, id: &ImageId) -> Result<Request> {
        self.check_id(id)?;
        Request::new(method).path(["image", id.as_str()])
    }
}

/// Returns `true` if version 2, which resolves a path after decoding it, would get to another
/// image or route by this id: `x/../y` is `y` there.
fn is_navigation(id: &str) -> bool {
    let mut segments = id.split(['/', '\\']);
    id.contains(['/', '\\']) && segments.any(|segment| matches!(segment, "" | "." | ".."))
}

/// Names an operation on one image.
pub(super) fn operation(name: &'static str, id: &ImageId) -> Operation {
    Operation::new(name).on(format!("{:?}", id.as_str()))
}
