//! Single ranges of one version of an image, in memory.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::body::Body;
use super::{ByteRange, Location, Version};
use crate::error::{ErrorKind, Result};
use crate::progress::Meter;

impl Location {
    /// Reads a range into memory, cut at the end of the image, and returns the version that it is
    /// of. If a version is given, it must be that.
    pub(crate) async fn read(
        self,
        version: Option<Version>,
        range: Range<u64>,
    ) -> Result<(Version, Bytes)> {
        let is_first = version.is_none();
        let version = version.unwrap_or_default();
        let end = version
            .total
            .map_or(range.end, |total| range.end.min(total));
        if range.start >= end {
            return Ok((version, Bytes::new()));
        }
        let asked = ByteRange::new(range.start, Some(end));
        let mut retries = self.transport.retry().start();
        let validator = version.validator.as_deref();
        let answer = self.get_range_or_all(asked, validator, &mut retries);
        let (answer, error) = match answer.await {
            Ok(answer) if answer.is_whole() => {
                let error = answer.range_ignored();
                (answer, Some(error))
            }
            Ok(answer) => (answer, None),
            // An image that ends before the range, such as an empty one, has none either.
            Err(error) if error.kind() == ErrorKind::Range && is_first => {
                (self.get(&mut retries).await?, Some(error))
            }
            Err(error) => return Err(error),
        };
        if let Some(error) = error {
            return match answer.version.total {
                Some(total) if is_first && total <= range.start => {
                    Ok((answer.version, Bytes::new()))
                }
                _ => Err(error),
            };
        }
        let answer = answer.of_version(&version)?;
        let version = answer.version.clone();
        let mut bytes = BytesMut::new();
        let mut body = Body::new(self, answer, Some(range.end), retries, Meter::default());
        while let Some(chunk) = body.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok((version, bytes.freeze()))
    }
}
