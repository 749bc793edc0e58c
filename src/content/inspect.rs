//! The inspection of an image where it is.

use bytes::{Bytes, BytesMut};

use super::pinned::Read;
use super::{Content, Location, Part, Version};
use crate::error::Result;
use crate::inspect::inspect_passing;
use crate::progress::Meter;
use crate::qcow2::{Inspection, Inspector, Policy, Report};
use crate::retry::Retries;

/// What an inspection has read of an image from its start on: nothing of one that does not come
/// in ranges.
#[cfg_attr(
    not(feature = "fs"),
    expect(dead_code, reason = "for transfers of files")
)]
#[derive(Default)]
pub(crate) struct Head {
    pub(crate) version: Option<Version>,
    pub(crate) bytes: Bytes,
}

impl Location {
    /// Reads the header of an image, and the tables that it names: one range as a rule. If a
    /// version is given, it is of that one only.
    pub(crate) async fn inspect(
        self,
        mut version: Option<Version>,
        policy: &Policy,
    ) -> Result<(Report, Head)> {
        let mut inspector = Inspector::new(policy.clone());
        loop {
            let range = match inspector.step() {
                Inspection::Done(report) => {
                    let head = Head {
                        version,
                        bytes: inspector.into_prefix().into(),
                    };
                    return Ok((report, head));
                }
                Inspection::NeedMore(range) => range,
            };
            let read = self.clone().read(version, range.clone());
            let (seen, bytes) = match read.await? {
                Read::Bytes(seen, bytes) => (seen, bytes),
                Read::Whole(whole, _) => {
                    let (part, retries) = *whole;
                    return self.inspect_whole(part, retries, policy).await;
                }
            };
            if let Some(total) = seen.total {
                inspector = inspector.total(total);
            }
            inspector.feed(range.start, &bytes);
            version = Some(seen);
        }
    }

    /// A server without ranges sends everything; no more is taken of it than is needed.
    async fn inspect_whole(
        self,
        part: Part,
        retries: Retries,
        policy: &Policy,
    ) -> Result<(Report, Head)> {
        let head = Head {
            version: Some(Version::of(&part)),
            bytes: Bytes::new(),
        };
        let total = part.total;
        let mut chunks = Content::new(self, part, None, retries, Meter::default()).stream();
        let report = inspect_passing(&mut chunks, &mut BytesMut::new(), total, policy).await?;
        Ok((report, head))
    }
}
