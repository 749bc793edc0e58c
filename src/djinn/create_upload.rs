//! Creation by upload.

use reqwest::Method;
use tracing::Instrument;

use super::name::check_name;
use super::{Image, Images, NamespacePath, QEMU_DISK, Source, reconcile};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Meter, Phase, Progress};
use crate::qcow2::Policy;
use crate::transport::{Request, Transport, operation_span};

const OPERATION: &str = "create image by upload";

impl Images {
    /// Creates an image from bytes that are sent as they are.
    ///
    /// `Endpoint: POST /images?name=&namespace=`
    ///
    /// The name is made of ASCII letters, digits, `_` and `-`. The server looks at the name and at
    /// the first four bytes of the image only after the whole body has arrived, and no further at
    /// all. So the image is inspected before a request is made; of a reader or stream the first
    /// bytes, 64 KiB as a rule and 2 MiB at most, are taken and held for that.
    ///
    /// ```
    /// # #[cfg(feature = "fs")]
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// use machine_images::djinn::Source;
    ///
    /// let image = images
    ///     .create_upload("debian-12", Source::file("debian-12.qcow2"))
    ///     .namespace("lab".parse()?)
    ///     .send()
    ///     .await?;
    /// println!("image {}", image.id);
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_upload(
        &self,
        name: impl Into<String>,
        source: impl Into<Source>,
    ) -> CreateUpload {
        CreateUpload {
            target: Target {
                transport: self.transport.clone(),
                name: name.into(),
                namespace: None,
            },
            source: source.into(),
            policy: Some(Policy::default()),
            meter: Meter::default(),
            reconcile: false,
            sha256: None,
        }
    }
}

/// Creates an image by upload: see [`Images::create_upload`].
#[must_use = "nothing is sent before `send`"]
pub struct CreateUpload {
    target: Target,
    source: Source,
    policy: Option<Policy>,
    meter: Meter,
    reconcile: bool,
    sha256: Option<Digest>,
}

/// Where an image is to be.
pub(super) struct Target {
    pub(super) transport: Transport,
    pub(super) name: String,
    pub(super) namespace: Option<NamespacePath>,
}

impl CreateUpload {
    /// Puts the image in a namespace, which is created if it is one's own and does not exist.
    pub fn namespace(mut self, namespace: NamespacePath) -> Self {
        self.target.namespace = Some(namespace);
        self
    }

    /// What the image is held to, in place of the default policy.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Sends whatever it is, without an inspection.
    pub fn unchecked(mut self) -> Self {
        self.policy = None;
        self
    }

    /// Is told how many bytes have been sent.
    pub fn progress(mut self, listener: impl Progress) -> Self {
        self.meter = Meter::new(Phase::Upload, listener);
        self
    }

    /// Whether to find out what came of an upload whose answer was lost, instead of
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown).
    ///
    /// Then the image is looked for by its name and namespace, for as long as the server may take
    /// to copy it, and its length compared. If there is none, and the source can be read again, it
    /// is uploaded again. That a server which was given time does not have the image later all the
    /// same is a guess.
    pub fn reconcile(mut self, reconcile: bool) -> Self {
        self.reconcile = reconcile;
        self
    }

    /// The digest of the contents, for [`reconcile`](Self::reconcile) to compare as well, which
    /// fetches them.
    pub fn reconcile_sha256(mut self, digest: Digest) -> Self {
        self.reconcile = true;
        self.sha256 = Some(digest);
        self
    }

    /// Sends the image and waits for the server's answer.
    ///
    /// The body is sent once. Only if no connection could be made, and the source is a file or
    /// bytes, is it tried again. Dropping the future ends the upload, and the server keeps nothing
    /// of it. A file is read ahead of the socket, by a blocking thread of the runtime; about 2 MiB of it
    /// are in memory at a time.
    ///
    /// # Errors
    ///
    /// Before a byte is sent: [`InvalidInput`](crate::ErrorKind::InvalidInput) for the name,
    /// [`ImageRejected`](crate::ErrorKind::ImageRejected) with what was found as
    /// [`inspection`](crate::Error::inspection);
    /// [`Source`](crate::ErrorKind::Source) for a file that cannot be opened. Later:
    /// [`Source`](crate::ErrorKind::Source) if the source fails, shrinks or grows;
    /// [`Rejected`](crate::ErrorKind::Rejected) with [`fields`](crate::Error::fields) if the name
    /// is taken, the namespace denied or the file no QCOW2;
    /// [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) for the token;
    /// [`TooLarge`](crate::ErrorKind::TooLarge);
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the connection breaks before the
    /// answer: the server may have created the image or not.
    pub async fn send(mut self) -> Result<Image> {
        check_name(OPERATION, &self.target.name)?;
        if let Some(policy) = &self.policy {
            let patience = self.target.transport.patience();
            let checked = self.source.checked(OPERATION, policy, patience);
            self.source = Box::pin(checked).await?;
        }
        if !self.reconcile {
            return self.target.upload(self.source, self.meter).await;
        }
        // Boxed, as it is rarely wanted and would make the future half as large again.
        let reconciled = Box::pin(self.reconciled());
        reconciled.instrument(operation_span(OPERATION)).await
    }

    async fn reconciled(self) -> Result<Image> {
        let (mut source, length) = self.source.measure().await;
        let mut repeated = false;
        for _ in 0..=self.target.transport.retry().most() {
            let again = source.again();
            let answer = self.target.upload(source, self.meter.clone()).await;
            let error = match answer {
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => error,
                // The one before has made it after all.
                Err(error) if repeated && is_taken(&error) => error,
                answer => return answer,
            };
            match reconcile::find(&self.target, length, self.sha256).await {
                Ok(Some(image)) => return Ok(image),
                Ok(None) => {}
                Err(_) => return Err(error),
            }
            match again {
                Some(again) => source = again,
                None => return Err(error),
            }
            repeated = true;
        }
        self.target.upload(source, self.meter).await
    }
}

impl Target {
    async fn upload(&self, source: Source, meter: Meter) -> Result<Image> {
        let mut request = Request::new(OPERATION, Method::POST)
            .path(["images"])?
            .query("name", &self.name);
        if let Some(namespace) = &self.namespace {
            request = request.query("namespace", &namespace.to_string());
        }
        let request = request.upload(source, meter.clone(), QEMU_DISK);
        let answer = self.transport.fetch(request).await?;
        meter.finish();
        answer.json()
    }
}

fn is_taken(error: &Error) -> bool {
    error
        .fields()
        .is_some_and(|fields| fields.contains_key("name"))
}
