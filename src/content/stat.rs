//! The length and version of an image's content.

use jiff::Timestamp;
use reqwest::StatusCode;

use super::response::ContentResponse;
use super::{ByteRange, Location};
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
    /// The strong entity tag or else the date of the last change, as the server sends it: two
    /// equal ones mean the same content.
    pub validator: Option<String>,
}

impl ContentInfo {
    pub(super) fn of(answer: &ContentResponse) -> Self {
        Self {
            length: answer.version.total,
            media_type: answer.response.media_type(),
            last_modified: answer.version.modified,
            validator: answer.version.validator.clone(),
        }
    }
}

impl Location {
    /// Asks for one byte, since servers were seen to refuse `HEAD`.
    pub(crate) async fn stat(&self) -> Result<ContentInfo> {
        let mut retries = self.transport.retry().start();
        let first = ByteRange::new(0, Some(1));
        let answer = match self.get_range_or_all(first, None, &mut retries).await {
            // An empty image has no first byte.
            Err(error) if error.status() == Some(StatusCode::RANGE_NOT_SATISFIABLE.as_u16()) => {
                self.get(&mut retries).await?
            }
            answer => answer?,
        };
        Ok(ContentInfo::of(&answer))
    }
}
