//! Inspection of sources before they are sent.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use futures::stream::{self, StreamExt};

use super::chunks::{Chunks, read_chunks};
#[cfg(feature = "fs")]
use super::file::OpenFile;
use super::{Kind, Source};
use crate::error::{Cause, Error, Result};
use crate::inspect::{accept, inspect_passing};
use crate::qcow2::{self, Inspection, Policy, Report};

impl Source {
    /// Fails if the policy rejects the image, and otherwise returns a source of the same bytes.
    ///
    /// Files and bytes are inspected in full. Of readers and streams the first bytes are read and
    /// held; none of these reads may take longer than `stall_timeout`.
    pub(crate) async fn checked(self, policy: &Policy, stall_timeout: Duration) -> Result<Self> {
        let failed = |error| Error::new(Cause::Source(error));
        let (report, source) = match self.0 {
            Kind::Bytes(bytes) => {
                let report = inspect_bytes(&bytes, policy).map_err(failed)?;
                (report, Kind::Bytes(bytes))
            }
            #[cfg(feature = "fs")]
            Kind::File(path) => {
                let file = OpenFile::open(path).await.map_err(failed)?;
                return Box::pin(Self(Kind::OpenFile(file)).checked(policy, stall_timeout)).await;
            }
            #[cfg(feature = "fs")]
            Kind::OpenFile(file) => {
                let policy = policy.clone();
                let report =
                    file.with(move |file| crate::inspect::inspect_open_file(file, &policy));
                (report.await.map_err(failed)?, Kind::OpenFile(file))
            }
            #[cfg(all(feature = "fs", feature = "disk"))]
            Kind::Raw(disk) => {
                let report = Box::pin(disk.inspect(policy)).await.map_err(failed)?;
                (report, Kind::Raw(disk))
            }
            Kind::Reader(reader, length) => {
                let chunks = read_chunks(reader);
                let inspected = inspect_chunks(chunks, length, policy, stall_timeout);
                let (report, chunks) = inspected.await?;
                (report, Kind::Stream(chunks, length))
            }
            Kind::Stream(chunks, length) => {
                let inspected = inspect_chunks(chunks, length, policy, stall_timeout);
                let (report, chunks) = inspected.await?;
                (report, Kind::Stream(chunks, length))
            }
            Kind::Content(chunks, length) => {
                let inspected = inspect_chunks(chunks, length, policy, Duration::MAX);
                let (report, chunks) = inspected.await?;
                (report, Kind::Content(chunks, length))
            }
        };
        accept(report).map(|()| Self(source))
    }
}

fn inspect_bytes(bytes: &[u8], policy: &Policy) -> io::Result<Report> {
    match qcow2::inspect(bytes, Some(bytes.len() as u64), policy) {
        Inspection::Done(report) => Ok(report),
        Inspection::NeedMore(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn inspect_chunks(
    mut chunks: Chunks,
    length: Option<u64>,
    policy: &Policy,
    stall_timeout: Duration,
) -> Result<(Report, Chunks)> {
    let mut held = BytesMut::new();
    let report = {
        let mut timed = Box::pin(stream::unfold(&mut chunks, |chunks| async move {
            let chunk = match tokio::time::timeout(stall_timeout, chunks.next()).await {
                Ok(chunk) => chunk?.map_err(|error| Error::new(Cause::Source(error))),
                Err(_) => {
                    let message = format!("no data for {stall_timeout:?}");
                    let error = io::Error::new(io::ErrorKind::TimedOut, message);
                    Err(Error::new(Cause::Source(error)))
                }
            };
            Some((chunk, chunks))
        }));
        inspect_passing(&mut timed, &mut held, length, policy).await?
    };
    let chunks = stream::iter([Ok(held.freeze())]).chain(chunks).boxed();
    Ok((report, chunks))
}
