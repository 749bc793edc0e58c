//! The inspection of an image that is on a server: the one place that feeds it from there.

use bytes::{Bytes, BytesMut};

use super::body::Body;
use super::{Location, Version};
use crate::error::{ErrorKind, Result};
use crate::progress::Meter;
use crate::qcow2::{self, FIRST_READ, Inspection, Inspector, Policy, Report};

impl Location {
    /// Reads the header of an image and the tables that it refers to, as a rule in one range.
    pub(crate) async fn inspect(self, policy: &Policy) -> Result<Report> {
        let (report, ..) = self.inspect_first(policy).await?;
        Ok(report)
    }

    /// The same, with the version that it is of and its first bytes.
    pub(crate) async fn inspect_first(
        self,
        policy: &Policy,
    ) -> Result<(Report, Version, BytesMut)> {
        let mut retries = self.transport.retry().start();
        let answer = self.get_first(FIRST_READ, &mut retries).await?;
        let end = (!answer.is_whole()).then_some(FIRST_READ);
        let mut body = Body::new(self.clone(), answer, end, retries, Meter::default());
        let mut held = BytesMut::new();
        let inspected = inspect_arriving(&self, &mut body, &mut held, policy);
        let (report, _) = inspected.await?;
        Ok((report, body.answer.version, held))
    }
}

/// Inspects an image by the bytes before `body`, which are in `held`, and by the first bytes of
/// `body`, which are added to them. Tables that lie elsewhere take requests of their own: their bytes
/// are returned with where they lie.
pub(crate) async fn inspect_arriving(
    location: &Location,
    body: &mut Body,
    held: &mut BytesMut,
    policy: &Policy,
) -> Result<(Report, Vec<(u64, Bytes)>)> {
    let mut apart = Vec::new();
    let version = body.answer.version.clone();
    let mut inspector = Inspector::new(policy.clone());
    if let Some(total) = version.total {
        inspector = inspector.total(total);
    }
    loop {
        // As a rule the header is shorter than the first read, which ends a range that is no longer.
        let goes_on = body.end.is_none_or(|end| end > FIRST_READ);
        let is_first = goes_on && (held.len() as u64) < FIRST_READ;
        let step = match is_first {
            true => inspector.step_early(),
            false => inspector.step(),
        };
        let range = match step {
            Inspection::Done(report) => return Ok((report, apart)),
            Inspection::NeedMore(range) => range,
        };
        let is_next = body.position() == held.len() as u64;
        let mut has_ended = false;
        while is_next && range.start <= body.position() && body.position() < range.end {
            match body.next().await? {
                Some(chunk) => {
                    held.extend_from_slice(&chunk);
                    if is_first {
                        break;
                    }
                }
                None => {
                    has_ended = true;
                    break;
                }
            }
        }
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        let end = usize::try_from(range.end).unwrap_or(usize::MAX);
        match held.get(start..end.min(held.len())) {
            Some([]) | None if has_ended && version.total.is_none() => {
                inspector.feed(range.start, &[]);
            }
            Some([]) | None => match location
                .clone()
                .read(Some(version.clone()), range.clone())
                .await
            {
                Ok((_, bytes)) => {
                    inspector.feed(range.start, &bytes);
                    apart.push((range.start, bytes));
                }
                // A server without ranges: the rest is judged when all of it is there.
                Err(error) if error.kind() == ErrorKind::Range => {
                    return match qcow2::inspect(held, version.total, policy) {
                        Inspection::Done(report) => Ok((report, apart)),
                        Inspection::NeedMore(_) => Err(error),
                    };
                }
                Err(error) => return Err(error),
            },
            Some(bytes) => inspector.feed(range.start, bytes),
        }
    }
}
