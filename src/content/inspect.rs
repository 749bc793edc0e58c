//! The inspection of an image where it is.

use bytes::{Bytes, BytesMut};

use super::read::Read;
use super::response::ContentResponse;
use super::{Content, Location, Version};
use crate::error::Result;
use crate::inspect::inspect_passing;
use crate::progress::Meter;
use crate::qcow2::{Inspection, Inspector, Policy, Report};
use crate::retry::Retries;

/// The first bytes of an image that an inspection has read: none of a server without ranges.
#[cfg_attr(
    not(feature = "fs"),
    expect(dead_code, reason = "for transfers of files")
)]
#[derive(Default)]
pub(crate) struct Prefix {
    pub(crate) version: Option<Version>,
    pub(crate) bytes: Bytes,
}

impl Location {
    /// Reads the header of an image and the tables that it refers to, as a rule in one range. If a
    /// version is given, it must be that.
    pub(crate) async fn inspect(
        self,
        mut version: Option<Version>,
        policy: &Policy,
    ) -> Result<(Report, Prefix)> {
        let mut inspector = Inspector::new(policy.clone());
        loop {
            let range = match inspector.step() {
                Inspection::Done(report) => {
                    let bytes = inspector.into_prefix().into();
                    return Ok((report, Prefix { version, bytes }));
                }
                Inspection::NeedMore(range) => range,
            };
            let read = self.clone().read(version, range.clone());
            let (seen, bytes) = match read.await? {
                Read::Bytes(seen, bytes) => (seen, bytes),
                Read::Whole(whole, _) => {
                    let (answer, retries) = *whole;
                    return self.inspect_whole(answer, retries, policy).await;
                }
            };
            if let Some(total) = seen.total {
                inspector = inspector.total(total);
            }
            inspector.feed(range.start, &bytes);
            version = Some(seen);
        }
    }

    /// Inspects what a server without ranges sends, and reads no more of it than it needs.
    async fn inspect_whole(
        self,
        answer: ContentResponse,
        retries: Retries,
        policy: &Policy,
    ) -> Result<(Report, Prefix)> {
        let version = answer.version.clone();
        let total = version.total;
        let mut content = Content::new(self, answer, None, retries, Meter::default());
        let report = inspect_passing(&mut content, &mut BytesMut::new(), total, policy).await?;
        let prefix = Prefix {
            version: Some(version),
            bytes: Bytes::new(),
        };
        Ok((report, prefix))
    }
}
