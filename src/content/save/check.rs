//! The inspection of what is saved: before a byte of it is, and once more before it gets its name.

use super::work::Fetch;
use crate::content::inspect::Prefix;
use crate::error::Result;
use crate::inspect::accept;
use crate::qcow2::{Inspection, Inspector};

impl Fetch {
    /// Refuses a bad image by its header, where it is; gives what was read for that.
    pub(super) async fn check_remote(&self) -> Result<Prefix> {
        let Some(policy) = &self.options.policy else {
            return Ok(Prefix::default());
        };
        let location = self.location.clone();
        let (report, head) = location.inspect(self.resumed(), policy).await?;
        accept(report)?;
        Ok(head)
    }

    /// Refuses a bad image by what was written: an earlier fetch may have left some of it, and a
    /// server may send other bytes than it showed.
    pub(super) fn check_file(&self) -> Result<()> {
        let Some(policy) = &self.options.policy else {
            return Ok(());
        };
        let mut inspector = Inspector::new(policy.clone()).total(self.length());
        loop {
            let range = match inspector.step() {
                Inspection::Done(report) => return accept(report),
                Inspection::NeedMore(range) => range,
            };
            let mut bytes = Vec::new();
            self.part
                .read(range.start, range.end, |piece| {
                    bytes.extend(piece);
                    Ok(())
                })
                .map_err(|error| self.failed("read", error))?;
            inspector.feed(range.start, &bytes);
        }
    }
}
