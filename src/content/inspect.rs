//! The inspection of an image where it is.

use bytes::{Bytes, BytesMut};

use super::{Content, Location, Version};
use crate::error::{ErrorKind, Result};
use crate::inspect::inspect_passing;
use crate::progress::Meter;
use crate::qcow2::{Inspection, Inspector, Policy, Report};

/// What an inspection has read of an image from its start on.
#[cfg_attr(
    not(feature = "fs"),
    expect(dead_code, reason = "for transfers of files")
)]
#[derive(Default)]
pub(crate) struct Head {
    pub(crate) version: Version,
    pub(crate) bytes: Bytes,
}

impl Location {
    /// Reads the header of an image, and the tables that it names: one range as a rule. If a
    /// validator is given, it is of that version only.
    pub(crate) async fn inspect(
        self,
        validator: Option<String>,
        policy: &Policy,
    ) -> Result<(Report, Head)> {
        let mut inspector = Inspector::new(policy.clone());
        let mut version = validator.map(|validator| Version {
            validator: Some(validator),
            total: None,
        });
        loop {
            let range = match inspector.step() {
                Inspection::Done(report) => {
                    let head = Head {
                        version: version.unwrap_or_default(),
                        bytes: inspector.into_head().into(),
                    };
                    return Ok((report, head));
                }
                Inspection::NeedMore(range) => range,
            };
            let (seen, bytes) = match self.clone().read(version.clone(), range.clone()).await {
                Err(error) if error.kind() == ErrorKind::Range && version.is_none() => {
                    let report = self.inspect_whole(policy).await?;
                    return Ok((report, Head::default()));
                }
                read => read?,
            };
            if let Some(total) = seen.total {
                inspector = inspector.total(total);
            }
            inspector.feed(range.start, &bytes);
            version = Some(seen);
        }
    }

    /// A server without ranges sends everything; no more is taken of it than is needed.
    async fn inspect_whole(self, policy: &Policy) -> Result<Report> {
        let mut retries = self.transport.retry().start();
        let part = self.open_whole(&mut retries).await?;
        let total = part.total;
        let mut chunks = Content::new(self, part, None, retries, Meter::default()).stream();
        inspect_passing(&mut chunks, &mut BytesMut::new(), total, policy).await
    }
}
