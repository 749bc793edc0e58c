//! One connection of a transfer: claims runs, reads them, and writes what comes.

use std::time::Duration;

use futures::future::pending;

use super::Transfer;
use crate::content::{Body, ByteRange, Version};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Meter;

/// The interval at which a connection without work looks for some.
const IDLE: Duration = Duration::from_millis(10);

impl Transfer {
    /// Fetches runs, beginning with `first` if there is one, until nothing is left or it retires, and
    /// waits to be stopped: the TCP connections that it opened, and others use, end with its runtime.
    pub(super) async fn connection(&self, who: usize, mut first: Option<Body>) -> Result<()> {
        while !self.is_complete() {
            let (result, is_patient) = match first.take() {
                Some(body) => (self.drain(who, body).await, true),
                None => {
                    let Some((range, is_patient)) = self.work().claim(who) else {
                        tokio::time::sleep(IDLE).await;
                        continue;
                    };
                    (self.fetch(who, range, is_patient).await, is_patient)
                }
            };
            if !result.or_else(|error| self.retire(who, error, is_patient))? {
                break;
            }
        }
        self.ended.notify_one();
        pending().await
    }

    /// Fetches a run; returns `false` if the server sends no ranges, and others go on.
    async fn fetch(&self, who: usize, run: (u64, u64), is_patient: bool) -> Result<bool> {
        let (start, end) = run;
        let mut location = self.setup.location.clone();
        if !is_patient {
            location.transport = location.transport.impatient();
        }
        // The end of the image is the server's to say once more: it may have lied about it.
        let length = self.setup.version.total;
        let asked = ByteRange::new(start, Some(end).filter(|_| Some(end) != length));
        let validator = self.setup.version.validator.as_deref();
        let mut retries = location.transport.retry().start();
        let answer = location.get_range_or_all(asked, validator, &mut retries);
        let answer = answer.await?.of_version(&Version {
            total: length,
            ..Version::default()
        })?;
        if answer.is_whole() {
            self.work().line.most = 1;
            let changed = answer.changed("the server sends no ranges any more");
            return self.leave(who, changed).map(|()| false);
        }
        self.work().pieces.answered(retries.attempt_elapsed());
        let body = Body::new(location, answer, Some(end), retries, Meter::default());
        self.drain(who, body).await
    }

    /// Writes what comes until the run is done, or its end was given away.
    async fn drain(&self, who: usize, mut body: Body) -> Result<bool> {
        while let Some((_, end)) = self.run_of(who, body.end()) {
            body.stop_at(end);
            let position = body.position();
            let Some(chunk) = body.next().await? else {
                // The plan did not know how long the image is.
                if self.setup.version.total.is_none() {
                    self.work().pieces.left = 0;
                }
                break;
            };
            self.write(who, position, &chunk)?;
        }
        // The run may have become longer than what was asked for.
        self.work().pieces.give_back(who, !body.is_at_end());
        Ok(true)
    }

    /// Decides on a connection that failed; returns `false` if it is to end.
    fn retire(&self, who: usize, error: Error, is_patient: bool) -> Result<bool> {
        if !error.is_retryable() && error.kind() != ErrorKind::Length {
            return Err(error);
        }
        match self.leave(who, error) {
            Err(error) if !is_patient && error.is_too_many() => Ok(true),
            left => left.map(|()| false),
        }
    }

    /// Ends a connection, and gives back what it leaves undone. The error of the last one is that of
    /// the transfer.
    pub(super) fn leave(&self, who: usize, error: Error) -> Result<()> {
        let mut work = self.work();
        work.pieces.give_back(who, true);
        if work.alive == 1 {
            return Err(error);
        }
        tracing::debug!(target: "machine_images::transfer", error = %error, "one connection less");
        work.line.refused(error.retry_after());
        work.alive -= 1;
        Ok(())
    }
}
