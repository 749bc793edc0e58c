//! Waiting for a download that the server makes.

use std::time::Duration;

use tokio::time::Instant;

use super::content::location;
use super::missing::failed;
use super::{DownloadState, Image, ImageId, Images, get};
use crate::error::{Error, ErrorKind, Result};
use crate::inspect::accept;
use crate::operation::Operation;
use crate::progress::{Meter, Phase, ProgressListener};
use crate::qcow2::Policy;
use crate::transport::Transport;

/// What a look that has begun may take beyond the time of the whole.
const GRACE: Duration = Duration::from_millis(500);

/// The first and the longest time between two looks; each is half as long again as the one before.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(15);

const LONGEST_WAIT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Images {
    /// Waits until the server has downloaded an image, and inspects it there.
    ///
    /// `Endpoint: GET /images/:id`, asked again at growing intervals, from 0.25 s to 15 s. Dropping
    /// the future ends it; the server's download goes on.
    ///
    /// The server takes whatever its source sends, an error page too. So once it has it, its header
    /// is read, as by [`ContentRequest::inspect`](super::ContentRequest::inspect).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let image = images.wait_downloaded(42).timeout(Duration::from_secs(600)).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_downloaded(&self, id: impl Into<ImageId>) -> WaitDownloaded {
        WaitDownloaded {
            transport: self.transport.clone(),
            id: id.into(),
            timeout: Duration::from_secs(3600),
            policy: Some(Policy::default()),
            meter: Meter::default(),
        }
    }
}

/// Waits for the server's download: see [`Images::wait_downloaded`].
#[derive(Clone)]
#[must_use = "nothing is sent before `send`"]
pub struct WaitDownloaded {
    transport: Transport,
    id: ImageId,
    timeout: Duration,
    policy: Option<Policy>,
    meter: Meter,
}

impl WaitDownloaded {
    /// How long to wait in all: an hour unless told.
    ///
    /// A server may leave a download running for ever, so there is no way to wait without end.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What the image is held to, in place of the default policy.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Takes whatever the server has downloaded, without an inspection.
    pub fn unchecked(mut self) -> Self {
        self.policy = None;
        self
    }

    /// Is told after each look that the wait goes on; nothing is known of how far the server is.
    pub fn progress(mut self, listener: impl ProgressListener) -> Self {
        self.meter = Meter::new(Phase::Wait, listener);
        self
    }

    /// Waits. An image that was uploaded is there at once.
    ///
    /// # Errors
    ///
    /// [`ImageRejected`](ErrorKind::ImageRejected) with what was found as
    /// [`inspection`](Error::inspection), if the server has something bad; it stays there.
    /// [`DownloadFailed`](ErrorKind::DownloadFailed) with the server's text as
    /// [`message`](Error::message); [`Deleted`](ErrorKind::Deleted) if the image is deleted meanwhile;
    /// [`NotFoundOrUnauthorized`](ErrorKind::NotFoundOrUnauthorized) if there was none;
    /// [`Timeout`](ErrorKind::Timeout) when the time is over.
    pub async fn send(self) -> Result<Image> {
        let operation = Operation::new("wait for download of image").on(self.id);
        operation.run(self.wait(&operation)).await
    }

    async fn wait(&self, operation: &Operation) -> Result<Image> {
        // Bounded, as an instant too far away cannot be represented.
        let deadline = Instant::now() + self.timeout.min(LONGEST_WAIT);
        let mut interval = FIRST;
        let mut seen = None;
        self.meter.start(None, 0);
        loop {
            let look = tokio::time::timeout_at(deadline + GRACE, self.look(seen.is_some()));
            let Ok(image) = look.await else {
                return Err(self.out_of_time(seen));
            };
            let image = image?;
            match image.download.as_ref().map(super::Download::state) {
                None | Some(DownloadState::Finished) => {
                    // Boxed, as it comes once and would make the future half as large again.
                    let check = Box::pin(self.check(operation));
                    return match tokio::time::timeout_at(deadline + GRACE, check).await {
                        Ok(checked) => checked.map(|()| image),
                        Err(_) => Err(self.out_of_time(Some(DownloadState::Finished))),
                    };
                }
                Some(DownloadState::Failed) => {
                    return Err(failed(&self.transport, image.download));
                }
                state => seen = state,
            }
            self.meter.at(0);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.out_of_time(seen));
            }
            tokio::time::sleep(interval.min(left)).await;
            interval = (interval * 3 / 2).min(LONGEST);
        }
    }

    async fn look(&self, was_there: bool) -> Result<Image> {
        match get::fetch(&self.transport, self.id).await {
            Err(error) if was_there && error.status() == Some(404) => {
                let message = "it was deleted while it was waited for";
                Err(Error::plain(ErrorKind::Deleted, message))
            }
            answer => answer,
        }
    }

    async fn check(&self, operation: &Operation) -> Result<()> {
        let Some(policy) = &self.policy else {
            return Ok(());
        };
        let location = location(&self.transport, operation.clone(), self.id);
        let (report, _) = location.inspect(None, policy).await?;
        accept(report)
    }

    fn out_of_time(&self, seen: Option<DownloadState>) -> Error {
        let state = match seen {
            Some(DownloadState::Finished) => {
                let message = format!(
                    "the server has the image, and it could not be inspected within {:?}",
                    self.timeout
                );
                return Error::plain(ErrorKind::Timeout, message);
            }
            Some(DownloadState::Running) => "running",
            Some(_) => "queued",
            None => "of unknown state",
        };
        let message = format!(
            "the server's download is still {state} after {:?}",
            self.timeout
        );
        Error::plain(ErrorKind::Timeout, message)
    }
}
