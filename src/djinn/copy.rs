//! Copying an image to another server.

mod passing;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::images::Images;
use super::model::{Image, ImageId};
use super::name::{NamespacePath, check_name, check_new_namespace};
use super::reconcile::{Reconcile, Search};
use super::target::Target;
use super::{content, get};
use crate::call::awaitable;
use crate::content::{Body, inspect_arriving};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::inspect::accept;
use crate::operation::Operation;
use crate::progress::{Meter, Phase, ProgressListener};
use crate::qcow2::Policy;
use crate::source::Source;
use crate::transport::Transport;
use passing::Passing;

impl Images {
    /// Copies an image to another server, or to another name on this one.
    ///
    /// `Endpoint: GET /images/:id` here, `POST /images?name=&namespace=` there
    ///
    /// The bytes pass through this process, without a file: they are inspected and hashed on the
    /// way, and about 2 MiB are in memory at a time. A target that is slower than the source slows
    /// the source down. The target creates the image only if all of it arrived, is of one version,
    /// meets the [policy](CopyImage::policy) and has the expected [digest](CopyImage::sha256). A source
    /// that sends neither a length nor chunks can only be checked by a digest.
    ///
    /// The digest of the copied bytes is in the result. [`digest`](Images::digest) before a copy reads
    /// the image twice: expect a digest that comes from elsewhere.
    ///
    /// The token here needs `image:read`, that of the target `image:write`. Neither server gets the
    /// credentials of the other.
    ///
    /// ```
    /// use machine_images::djinn::Images;
    ///
    /// # async fn example(images: Images, mirror: Images) -> machine_images::Result<()> {
    /// let copied = images.copy(42).to(&mirror).await?;
    /// println!("image {}: {} bytes, {}", copied.image.id, copied.bytes, copied.sha256);
    ///
    /// let renamed = images.copy(42).to(&images).name("debian-12-old").await?;
    /// # Ok(())
    /// # }
    /// ```
    /// For many images, see [many images at once](super#many-images-at-once).
    #[doc(alias = "mirror")]
    #[doc(alias = "clone")]
    #[doc(alias = "rename")]
    pub fn copy(&self, id: impl Into<ImageId>) -> CopyFrom {
        CopyFrom {
            source: self.transport.clone(),
            id: id.into(),
        }
    }
}

/// An image to copy, which lacks a target: see [`Images::copy`].
#[derive(Clone, Debug)]
#[must_use = "nothing is copied without a target"]
pub struct CopyFrom {
    source: Transport,
    id: ImageId,
}

impl CopyFrom {
    /// Sets the server to copy to, which may be the same.
    pub fn to(self, target: &Images) -> CopyImage {
        CopyImage {
            from: self,
            target: target.transport.clone(),
            name: None,
            namespace: None,
            sha256: None,
            policy: Some(Policy::default()),
            meter: Meter::default(),
            reconcile: None,
        }
    }
}

/// A builder that copies an image: see [`Images::copy`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent unless this is awaited"]
pub struct CopyImage {
    from: CopyFrom,
    target: Transport,
    name: Option<String>,
    namespace: Option<NamespacePath>,
    sha256: Option<Digest>,
    policy: Option<Policy>,
    meter: Meter,
    reconcile: Option<Reconcile>,
}

/// The result of copying an image.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// The new image, on the target.
    pub image: Image,
    /// The length of its content.
    pub bytes: u64,
    /// The SHA-256 of its content.
    pub sha256: Digest,
}

impl CopyImage {
    /// Sets the name of the new image. Defaults to that of the image, which takes another request.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the namespace of the new image, on the target. Defaults to none.
    pub fn namespace(mut self, namespace: NamespacePath) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Fails with [`DigestMismatch`](ErrorKind::DigestMismatch) if the content has another SHA-256,
    /// before its last bytes are sent. With [`reconcile`](Self::reconcile), an image that is looked
    /// for must have it, too, for which it is downloaded.
    #[doc(alias = "checksum")]
    #[doc(alias = "verify")]
    pub fn sha256(mut self, digest: Digest) -> Self {
        self.sha256 = Some(digest);
        self
    }

    /// Sets the policy that the image must meet. Defaults to [`Policy::default`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Copies any content, without inspecting it.
    pub fn unchecked(mut self) -> Self {
        self.policy = None;
        self
    }

    /// Reports progress to `listener`: the bytes sent to the target.
    pub fn progress(mut self, listener: impl ProgressListener) -> Self {
        self.meter = Meter::new(Phase::Upload, listener);
        self
    }

    /// Looks for the image on the target if the response is lost, instead of failing with
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown). Defaults to `false`.
    ///
    /// The name is looked up first: if the target has it, nothing is fetched or sent, and the copy
    /// fails with [`NameTaken`](ErrorKind::NameTaken). The rest is as for
    /// [`CreateUpload::reconcile`](super::CreateUpload::reconcile), except that the image is never
    /// sent a second time.
    #[doc(alias = "idempotent")]
    pub fn reconcile(mut self, reconcile: bool) -> Self {
        self.reconcile = reconcile.then(|| self.reconcile.unwrap_or_default());
        self
    }

    /// Enables [`reconcile`](Self::reconcile), and sets its deadline. Defaults to 60 s.
    pub fn reconcile_within(mut self, limit: Duration) -> Self {
        self.reconcile.get_or_insert_default().within = limit;
        self
    }

    /// Copies the image, and waits for the response of the target.
    ///
    /// A source that breaks is resumed, as [`Content`](crate::Content) is, while the upload waits.
    /// A target may close an upload that waits: nginx does after 60 s. The image is sent once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the upload, and the target keeps nothing of it, unless all of it was
    /// sent.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](ErrorKind::InvalidInput) if the name is not valid or the namespace has digits.
    /// Otherwise [`side`](Error::side) says which server an error is from. From the source, with nothing created
    /// on the target:
    /// - Those of [`GetContent::send`](super::GetContent::send) and of
    ///   [`Content`](crate::Content).
    /// - [`ImageRejected`](ErrorKind::ImageRejected) if the image does not meet the policy: see
    ///   [`inspection`](Error::inspection).
    /// - [`Changed`](ErrorKind::Changed) if the source sends other bytes than those it showed to the
    ///   inspection.
    /// - [`DigestMismatch`](ErrorKind::DigestMismatch) if the content has another digest.
    ///
    /// From the target, those of [`CreateUpload::send`](super::CreateUpload::send). After
    /// [`NotSent`](ErrorKind::NotSent) the target has created nothing; after
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown), [`find`](Images::find) the image there, or use
    /// [`reconcile`](Self::reconcile).
    pub async fn send(self) -> Result<Copied> {
        let operation = Operation::new("copy image").on(self.from.id);
        operation.run(self.copy()).await
    }

    async fn copy(mut self) -> Result<Copied> {
        let of_source = |error: Error| error.on_side(Side::Source);
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        check_new_namespace(self.namespace.as_ref())?;
        let name = match self.name.take() {
            Some(name) => name,
            None => {
                let image = get::fetch(&self.from.source, self.from.id).await;
                image.map_err(of_source)?.name
            }
        };
        let target = Target {
            transport: self.target.clone(),
            name,
            namespace: self.namespace.take(),
        };
        // Boxed to keep the future small.
        let search = match self.reconcile.take() {
            None => None,
            Some(options) => {
                let options = Reconcile {
                    sha256: self.sha256,
                    ..options
                };
                let search = Box::pin(Search::begin(&target, options)).await;
                Some(search.map_err(|error| error.on_side(Side::Target))?)
            }
        };
        let passing = Box::pin(self.open()).await.map_err(of_source)?;
        let passed = Arc::clone(&passing.passed);
        let length = passing.body.length();
        let source = Source::content(passing.into_stream(), length);
        let uploaded = match search {
            None => Box::pin(target.upload(source, self.meter)).await,
            Some(search) => Box::pin(search.upload(source, self.meter)).await,
        };
        let image = uploaded.map_err(|error| match error.into_source_error() {
            Ok(error) => of_source(error),
            // The source is read from the server again.
            Err(error) => error.replayable().on_side(Side::Target),
        })?;
        match passed.get() {
            Some(&(bytes, sha256)) => Ok(Copied {
                image,
                bytes,
                sha256,
            }),
            None => Err(Error::plain(
                ErrorKind::NotSent,
                "the target responded before the end of the image",
            )),
        }
    }

    /// Opens and inspects the content.
    async fn open(&self) -> Result<Passing> {
        let CopyFrom { source, id } = &self.from;
        let operation = Operation::new("get content of image").on(id);
        let location = content::location(source, operation, *id);
        let mut retries = source.retry().start();
        let answer = location.get(&mut retries).await?;
        let mut body = Body::new(location.clone(), answer, None, retries, Meter::default());
        let mut held = BytesMut::new();
        let mut apart = Vec::new();
        if let Some(policy) = &self.policy {
            let inspected = inspect_arriving(&location, &mut body, &mut held, policy);
            let report;
            (report, apart) = inspected.await?;
            accept(report)?;
        }
        Ok(Passing::new(body, held.freeze(), apart, self.sha256))
    }
}

awaitable!(CopyImage, send -> Copied);
