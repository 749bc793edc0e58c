//! The length and version of an image's content.

use jiff::Timestamp;

use super::Location;
use super::response::ContentResponse;
use crate::error::Result;

/// The length and the version of an image's content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "etag")]
pub struct ContentInfo {
    /// The length of the image in bytes, if the server sends it.
    pub length: Option<u64>,
    /// The media type, without parameters and in lower case.
    pub media_type: String,
    /// The time of the last change, in whole seconds. A Djinn CI server sends the time of the
    /// image's creation.
    pub last_modified: Option<Timestamp>,
    /// The strong entity tag, quoted as the server sends it. A Djinn CI server sends none.
    pub etag: Option<String>,
    /// The entity tag, or else the date of the last change, as the server sends it: the value for
    /// `If-Range`. Two equal values for one image mean the same content.
    pub validator: Option<String>,
}

impl ContentInfo {
    pub(super) fn of(answer: &ContentResponse) -> Self {
        let validator = answer.version.validator.clone();
        Self {
            length: answer.version.total,
            media_type: answer.response.media_type(),
            last_modified: answer.version.modified,
            etag: validator.clone().filter(|tag| tag.starts_with('"')),
            validator,
        }
    }
}

impl Location {
    /// Asks for one byte, since servers were seen to refuse `HEAD`.
    pub(crate) async fn stat(&self) -> Result<ContentInfo> {
        let mut retries = self.transport.retry().start();
        let answer = self.get_first(1, &mut retries).await?;
        Ok(ContentInfo::of(&answer))
    }
}
