//! Creation by upload.

use std::time::Duration;

use super::name::check_name;
use super::reconcile::{self, Reconcile};
use super::upload::Target;
use super::{Image, Images, NamespacePath, Source};
use crate::digest::Digest;
use crate::error::Result;
use crate::operation::Operation;
use crate::progress::{Meter, Phase, Progress};
use crate::qcow2::Policy;

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
            reconcile: None,
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
    reconcile: Option<Reconcile>,
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

    /// Finds out what came of an upload whose answer was lost, instead of failing with
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown). Defaults to `false`.
    ///
    /// Before the upload the token's user is asked for and the name looked up: one that is taken
    /// fails with [`NameTaken`](crate::ErrorKind::NameTaken) before the image is sent. If the answer
    /// is lost, the image is looked for until the [deadline](Self::reconcile_within). What is
    /// returned was not there before the call, was created by the token's own user in the namespace
    /// asked for, has the length that was sent, and the [digest](Self::reconcile_sha256) if one was
    /// given. If the server has no such image, and if the upload was not sent to its end, it is sent
    /// again, provided that the source can be read again.
    ///
    /// Where several users upload into one namespace, the name may be taken by another of them, and
    /// an image of the same name and length there is not mistaken for the upload.
    ///
    /// Guesses: that a server which answers, and has no image 15 s (and a second for each 50 MiB)
    /// after the upload, will not have it later. A slower one may create the image after the upload
    /// was sent again, and refuses the second as a rule, since names are unique. And that the same
    /// user does not upload another image of the same name and length at the same moment, unless a
    /// digest tells them apart.
    ///
    #[doc = include_str!("reconcile.md")]
    #[doc(alias = "idempotent")]
    pub fn reconcile(mut self, reconcile: bool) -> Self {
        self.reconcile = reconcile.then(|| self.reconcile.unwrap_or_default());
        self
    }

    /// Sets how long [`reconcile`](Self::reconcile) goes on looking, beyond the time that copying
    /// the image takes (a second for each 50 MiB), while the server cannot be reached. Defaults to
    /// 60 s. A server that answers and has no such image is given a quarter of that.
    pub fn reconcile_within(mut self, limit: Duration) -> Self {
        self.reconcile.get_or_insert_default().within = limit;
        self
    }

    /// Sets the digest of the contents for [`reconcile`](Self::reconcile) to compare as well, which
    /// fetches them.
    pub fn reconcile_sha256(mut self, digest: Digest) -> Self {
        self.reconcile.get_or_insert_default().sha256 = Some(digest);
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
    /// [`Source`](crate::ErrorKind::Source) if the source fails, stalls, shrinks or grows;
    /// [`NameTaken`](crate::ErrorKind::NameTaken) if there is an image of that name already;
    /// [`Rejected`](crate::ErrorKind::Rejected) with [`fields`](crate::Error::fields) if the
    /// namespace is denied or the file no QCOW2;
    /// [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) for the token;
    /// [`TooLarge`](crate::ErrorKind::TooLarge);
    /// [`NotSent`](crate::ErrorKind::NotSent) if the connection breaks before everything was sent:
    /// the server makes nothing of it, and it may be sent again;
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if it breaks between that and the
    /// answer: the server may have created the image or not.
    pub async fn send(self) -> Result<Image> {
        let operation = Operation::new("create image").on(format!("{:?}", self.target.name));
        operation.run(self.create()).await
    }

    async fn create(mut self) -> Result<Image> {
        check_name(&self.target.name)?;
        if let Some(policy) = &self.policy {
            let patience = self.target.transport.patience();
            let checked = self.source.checked(policy, patience);
            self.source = Box::pin(checked).await?;
        }
        match self.reconcile {
            None => self.target.upload(self.source, self.meter).await,
            // Boxed, as it is rarely wanted and would make the future half as large again.
            Some(options) => {
                let upload = reconcile::upload(&self.target, self.source, self.meter, options);
                Box::pin(upload).await
            }
        }
    }
}
