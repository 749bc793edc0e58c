//! Waiting for a download that the server makes.

mod hints;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream::{BoxStream, Stream, StreamExt};
use tokio::time::Instant;

use super::content::location;
use super::missing::failed;
use super::{Download, DownloadState, Image, ImageId, Images, get};
use crate::call::awaitable;
use crate::error::{Error, ErrorKind, Result};
use crate::inspect::accept;
use crate::operation::Operation;
use crate::progress::{Meter, Phase, ProgressListener};
use crate::qcow2::Policy;
use crate::sync::lock;
use crate::transport::Transport;
use hints::Hints;

/// The time that a started request has beyond the timeout.
const GRACE: Duration = Duration::from_millis(500);

/// A longer timeout could not be represented as an instant.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Images {
    /// Waits until the server has downloaded an image, and inspects the image there.
    ///
    /// `Endpoint: GET /images/:id`
    ///
    /// The request is repeated at growing intervals, from 0.25 s to 15 s, after any `Retry-After`. An
    /// image that was uploaded needs no waiting. Older servers do not report the
    /// [download](Image::download): there the call does not wait, and the inspection fails if the
    /// image is not complete yet; with [`unchecked`](WaitDownloaded::unchecked) it succeeds at once.
    ///
    /// After the first successful request, the call keeps waiting while the server is unavailable.
    ///
    /// The server accepts anything that its source sends, an error page too. So the header of the
    /// downloaded image is inspected.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let image = images.wait_downloaded(42).timeout(Duration::from_secs(600)).await?;
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

/// A builder that waits for a download: see [`Images::wait_downloaded`].
#[derive(Clone)]
#[must_use = "`wait_downloaded` does nothing unless awaited"]
pub struct WaitDownloaded {
    transport: Transport,
    id: ImageId,
    timeout: Duration,
    policy: Option<Policy>,
    meter: Meter,
}

impl fmt::Debug for WaitDownloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitDownloaded")
            .field("transport", &self.transport)
            .field("id", &self.id)
            .field("timeout", &self.timeout)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl WaitDownloaded {
    /// Sets the total time limit. Defaults to one hour. A request that is under way at its end may
    /// take half a second longer.
    ///
    /// It cannot be disabled, since a server may leave a download running forever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the policy that the image must meet. Defaults to [`Policy::default`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Accepts any content, without an inspection.
    pub fn unchecked(mut self) -> Self {
        self.policy = None;
        self
    }

    /// Reports to `listener` after each request. The server does not tell how far the download is.
    pub fn progress(mut self, listener: impl ProgressListener) -> Self {
        self.meter = Meter::new(Phase::Wait, listener);
        self
    }

    /// Looks at the image also whenever `hints` yields an item, such as an event of a webhook.
    ///
    /// The request is repeated at growing intervals all the same: of up to 2 min while hints can
    /// come, and up to 15 s after the stream has ended. So a lost hint only delays the result.
    /// Only the arrival of an item counts. A wrong hint costs a request and lengthens the minimum
    /// interval between requests, so wrong hints cause no more requests than a wait without hints.
    ///
    /// ```
    /// use futures::channel::mpsc;
    /// use machine_images::djinn::{Image, ImageId, Images};
    ///
    /// /// `hints`: one item for each webhook event of this image.
    /// async fn wait(
    ///     images: Images,
    ///     id: ImageId,
    ///     hints: mpsc::Receiver<()>,
    /// ) -> machine_images::Result<Image> {
    ///     images.wait_downloaded(id).woken_by(hints).await
    /// }
    /// ```
    #[doc(alias = "webhook")]
    pub fn woken_by(self, hints: impl Stream<Item: 'static> + Send + 'static) -> WaitWoken {
        WaitWoken {
            wait: self,
            hints: hints.map(drop).boxed(),
        }
    }

    /// Waits for the download. Awaiting the builder does the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait; the server's download goes on.
    ///
    /// # Errors
    ///
    /// - [`ImageRejected`](ErrorKind::ImageRejected) if the image does not meet the policy: see
    ///   [`inspection`](Error::inspection). The image stays on the server: delete it.
    /// - [`DownloadFailed`](ErrorKind::DownloadFailed) if the server gave up: see
    ///   [`message`](Error::message).
    /// - [`Deleted`](ErrorKind::Deleted) if the image is deleted during the call.
    /// - [`Timeout`](ErrorKind::Timeout) after the time limit, also if the server does not answer:
    ///   wait again, or delete the image.
    /// - Those of [`Get::send`](super::Get::send) and of [`Inspect::send`](super::Inspect::send).
    ///   After the first successful request, errors that [may pass](Error::is_retryable) do not end
    ///   the wait.
    pub async fn send(self) -> Result<Image> {
        self.run(Hints::new(None)).await
    }

    async fn run(mut self, hints: Hints) -> Result<Image> {
        let operation = Operation::new("wait for download of image").on(self.id);
        let failure = Arc::<Mutex<Option<String>>>::default();
        let (meter, last) = (self.meter.clone(), Arc::clone(&failure));
        self.transport = self.transport.heard(move |error| {
            meter.repeat();
            *lock(&last) = Some(format!("{error:#}"));
        });
        operation.run(self.wait(&operation, hints, &failure)).await
    }

    /// `failure` is the error of the last request, while it is being repeated.
    async fn wait(
        &self,
        operation: &Operation,
        mut hints: Hints,
        failure: &Mutex<Option<String>>,
    ) -> Result<Image> {
        let deadline = Instant::now() + self.timeout.min(LONGEST_WAIT);
        let left = || deadline.saturating_duration_since(Instant::now());
        // What the last request found.
        let mut found = None;
        loop {
            hints.clear();
            // Boxed, as it would make the future half as large again.
            let looked = Box::pin(self.look(operation, &mut found, failure));
            let looked = tokio::time::timeout_at(deadline + GRACE, looked).await;
            let Ok(looked) = looked else {
                let state = match (lock(failure).take(), found) {
                    (Some(error), _) => last_failed(&error),
                    (None, Some(found)) => format!("{found}, and the server does not answer"),
                    (None, None) => "the server has not answered".to_owned(),
                };
                return Err(self.timed_out(&state));
            };
            match looked {
                Ok(Some(image)) => return Ok(image),
                Ok(None) => {}
                // The image was there, and the server may answer again.
                Err(error) if found.is_some() && error.is_retryable() => {
                    let pause = error.retry_after().unwrap_or_default();
                    tokio::time::sleep(pause.min(left())).await;
                    found = Some(last_failed(&format!("{error:#}")).into());
                }
                Err(error) => return Err(error),
            }
            if left().is_zero() {
                return Err(self.timed_out(found.as_deref().unwrap_or_default()));
            }
            hints.wait(left()).await;
        }
    }

    /// Looks at the image once; returns it if it is complete, and else says what was found.
    async fn look(
        &self,
        operation: &Operation,
        found: &mut Option<Cow<'static, str>>,
        failure: &Mutex<Option<String>>,
    ) -> Result<Option<Image>> {
        let image = self.get(found.is_some()).await;
        self.meter.repeat();
        *lock(failure) = None;
        let image = image?;
        let text = match image.download.as_ref().map(Download::state) {
            None | Some(DownloadState::Finished) => {
                *found = Some("the image has not been inspected".into());
                let checked = self.check(operation).await;
                let is_missing = |error: &Error| error.kind() == ErrorKind::NotFoundOrUnauthorized;
                if checked.as_ref().is_err_and(is_missing) {
                    // Without its contents, or deleted?
                    self.get(true).await?;
                }
                return checked.map(|()| Some(image));
            }
            Some(DownloadState::Failed) => {
                let reason = image.download.and_then(|download| download.error);
                return Err(failed(&self.transport, reason));
            }
            Some(DownloadState::Running) => "the server's download is still running",
            Some(_) => "the server's download is still queued",
        };
        *found = Some(text.into());
        Ok(None)
    }

    async fn get(&self, existed: bool) -> Result<Image> {
        match get::fetch(&self.transport, self.id).await {
            Err(error) if existed && error.kind() == ErrorKind::NotFoundOrUnauthorized => {
                let message = "the image was deleted in the meantime";
                Err(Error::plain(ErrorKind::Deleted, message).attempts_of(&error))
            }
            image => image,
        }
    }

    async fn check(&self, operation: &Operation) -> Result<()> {
        let Some(policy) = &self.policy else {
            return Ok(());
        };
        let location = location(&self.transport, operation.clone(), self.id);
        let report = location.inspect(policy).await?;
        accept(report)
    }

    fn timed_out(&self, state: &str) -> Error {
        let message = format!("{state} after {:?}", self.timeout);
        Error::plain(ErrorKind::Timeout, message)
    }
}

fn last_failed(error: &str) -> String {
    format!("the last request failed ({error})")
}

/// A builder that waits for a download with hints: see [`WaitDownloaded::woken_by`].
#[must_use = "`wait_downloaded` does nothing unless awaited"]
pub struct WaitWoken {
    wait: WaitDownloaded,
    hints: BoxStream<'static, ()>,
}

impl WaitWoken {
    /// Waits for the download. Awaiting the builder does the same.
    ///
    /// # Errors
    ///
    /// Those of [`WaitDownloaded::send`].
    pub async fn send(self) -> Result<Image> {
        self.wait.run(Hints::new(Some(self.hints))).await
    }
}

impl fmt::Debug for WaitWoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitWoken")
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

awaitable!(WaitDownloaded, send -> Image);
awaitable!(WaitWoken, send -> Image);
