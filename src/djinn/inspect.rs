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
            #[cfg(feature = "disk")]
            contents: false,
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
    #[cfg(feature = "disk")]
    contents: bool,
}

impl Inspect {
    /// Sets the policy that the report judges by. Defaults to [`Policy::default`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Looks at the beginning of the guest's disk as well. Defaults to `false`.
    ///
    /// [`Report::contents`] is the format that is found there, such as that of a partition table. An
    /// image within the image is
    /// [`InnerImage`](crate::qcow2::Code::InnerImage), a warning by default: a program that
    /// looks for a format in the guest's disk could be led to files of its host. Takes up to
    /// three requests more. A disk that cannot be read, such as that of an image with a backing
    /// file, has no contents in the report.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// use machine_images::qcow2::Format;
    ///
    /// let report = images.inspect(42).contents(true).await?;
    /// if let Some(Format::Mbr | Format::Gpt) = report.contents {
    ///     println!("a disk with partitions");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "disk")]
    pub fn contents(mut self, contents: bool) -> Self {
        self.contents = contents;
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
        #[cfg(feature = "disk")]
        if self.contents {
            let inspection = crate::disk::inspect_contents(location, self.policy);
            return operation.run(inspection).await;
        }
        let inspection = location.inspect(&self.policy);
        operation.run(inspection).await
    }
}

awaitable!(Inspect, send -> Report);
