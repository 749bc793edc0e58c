//! The inspection of an image where it is.

use super::{ImageId, Images};
use crate::call::awaitable;
use crate::error::Result;
use crate::operation::Operation;
use crate::qcow2::{Policy, Report};

impl Images {
    /// Inspects the header of an image on the server, without fetching the image.
    ///
    /// `Endpoint: GET /images/:id` with `Accept: application/x-qemu-disk`
    ///
    /// Takes one request for 64 KiB; images with snapshots, bitmaps, LUKS or a large first cluster
    /// take a few more. From a server without ranges it reads no more than that either. A bad
    /// image is not an error: see [`Report::verdict`].
    ///
    /// ```
    /// use machine_images::qcow2::Verdict;
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let report = images.inspect(42).await?;
    /// for finding in &report.findings {
    ///     println!("{}: {finding}", finding.severity);
    /// }
    /// assert_eq!(report.verdict(), Verdict::Accept);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "info")]
    #[doc(alias = "validate")]
    pub fn inspect(&self, id: impl Into<ImageId>) -> Inspect {
        Inspect {
            images: self.clone(),
            id: id.into(),
            policy: Policy::default(),
        }
    }
}

/// A builder that inspects an image on the server: see [`Images::inspect`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent unless this is awaited"]
pub struct Inspect {
    images: Images,
    id: ImageId,
    policy: Policy,
}

impl Inspect {
    /// Sets the policy that the report judges by. Defaults to [`Policy::default`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Reads the header, and returns the report.
    ///
    /// # Errors
    ///
    /// Those of [`GetContent::send`](super::GetContent::send) and of [`Content`](crate::Content).
    pub async fn send(self) -> Result<Report> {
        let operation = Operation::new("inspect image").on(self.id);
        let location = self.images.location(operation.clone(), self.id);
        let inspection = location.inspect(&self.policy);
        operation.run(inspection).await
    }
}

awaitable!(Inspect, send -> Report);
