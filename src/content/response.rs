//! An answer with content, its headers checked.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED};

use super::Version;
use crate::error::{Cause, Error, ErrorKind, Result};
use crate::transport::{Response, http_date};

/// An answer with content: all of the image, or a range of it.
pub(crate) struct ContentResponse {
    pub(crate) response: Response,
    pub(crate) start: u64,
    /// The byte after the last one in this answer, if the answer says so.
    pub(crate) end: Option<u64>,
    /// The version of the image that this is of.
    pub(crate) version: Version,
}

impl ContentResponse {
    /// Reads the headers of an answer that begins at byte `start` of an image of `total` bytes.
    pub(super) fn new(response: Response, start: u64, total: Option<u64>) -> Self {
        let length: Option<u64> = response
            .header(&CONTENT_LENGTH)
            .and_then(|text| text.parse().ok());
        let end = length.map(|length| start.saturating_add(length));
        let total = match response.status() {
            StatusCode::PARTIAL_CONTENT => total,
            _ => end,
        };
        let validator = validator(&response);
        let modified = response.header(&LAST_MODIFIED).and_then(http_date);
        Self {
            response,
            start,
            end,
            version: Version {
                validator,
                total,
                modified,
            },
        }
    }

    /// Returns `true` if this is the whole image, not a range of it.
    pub(crate) fn is_whole(&self) -> bool {
        self.response.status() != StatusCode::PARTIAL_CONTENT
    }

    /// The error for a server that ignores ranges.
    pub(super) fn range_ignored(&self) -> Error {
        self.range_error("the whole came where a part was asked for")
    }

    pub(super) fn range_error(&self, message: &str) -> Error {
        range_error(&self.response, message)
    }

    pub(crate) fn changed(&self, message: &str) -> Error {
        let cause = Cause::Plain(ErrorKind::Changed, message.into());
        self.response.error(cause)
    }

    /// Fails unless this is of the same version as an earlier answer.
    pub(crate) fn of_version(mut self, earlier: &Version) -> Result<Self> {
        match earlier.agree(self.version.clone()) {
            Ok(version) => {
                self.version = version;
                Ok(self)
            }
            Err(message) => Err(self.changed(message)),
        }
    }
}

/// The value that `If-Range` may carry: a strong entity tag, or else the date. The Djinn CI server
/// sends only the date, and honours it.
fn validator(response: &Response) -> Option<String> {
    let tag = response.header(&ETAG).filter(|tag| tag.starts_with('"'));
    tag.or(response.header(&LAST_MODIFIED)).map(str::to_owned)
}

pub(super) fn range_error(response: &Response, message: &str) -> Error {
    response.error(Cause::Plain(ErrorKind::Range, message.into()))
}
