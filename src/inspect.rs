//! The inspection of images in transit, and the error for those that the policy rejects.

#[cfg(feature = "fs")]
mod file;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};

use crate::error::{Cause, Error, Result};
use crate::qcow2::{self, Inspection, Policy, Report, Verdict};
#[cfg(feature = "fs")]
pub use file::inspect_file;
#[cfg(feature = "fs")]
pub(crate) use file::inspect_open_file;

/// Fails if the report rejects the image.
pub(crate) fn accept(report: Report) -> Result<()> {
    match report.verdict() {
        Verdict::Accept => Ok(()),
        Verdict::Reject => Err(Error::new(Cause::Image(Box::new(report)))),
    }
}

/// Inspects the first bytes of an image that can be read only once, and leaves them in `held`.
pub(crate) async fn inspect_passing<E>(
    chunks: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    held: &mut BytesMut,
    mut total: Option<u64>,
    policy: &Policy,
) -> Result<Report, E> {
    loop {
        let wanted = match qcow2::inspect(held, total, policy) {
            Inspection::Done(report) => return Ok(report),
            Inspection::NeedMore(range) => range.end,
        };
        while (held.len() as u64) < wanted {
            match chunks.next().await.transpose()? {
                Some(chunk) => held.extend_from_slice(&chunk),
                None => {
                    total = Some(held.len() as u64);
                    break;
                }
            }
        }
    }
}
