//! Creating an image by upload.

use std::fmt;
use std::time::Duration;

use super::images::Images;
use super::model::Image;
use super::name::{NamespacePath, check_name, check_new_namespace};
use super::reconcile::{Reconcile, Search};
use super::target::Target;
use crate::call::awaitable;
use crate::digest::Digest;
use crate::error::Result;
use crate::operation::Operation;
use crate::progress::{Meter, Phase, ProgressListener};
use crate::qcow2::Policy;
use crate::source::Source;

impl Images {
    /// Creates an image by uploading a QCOW2 file, bytes, a reader or a stream.
    ///
    /// `Endpoint: POST /images?name=&namespace=`
    ///
    /// The token needs `image:write`. The name has ASCII letters, digits, `_` and `-`.
    ///
    /// The image is inspected before anything is sent, since the server checks only its first four
    /// bytes, after the whole upload. Of a reader or stream the first bytes are held in memory for
    /// that, usually 64 KiB and at most 2 MiB.
    ///
    /// ```
    /// # #[cfg(feature = "fs")]
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// use machine_images::djinn::Source;
    ///
    /// let image = images
    ///     .create_upload("debian-12", Source::file("debian-12.qcow2"))
    ///     .namespace("lab".parse()?)
    ///     .await?;
    /// println!("image {}", image.id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// For many images, see [many images at once](super#many-images-at-once).
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

/// A builder that creates an image by upload: see [`Images::create_upload`].
///
/// Not `Clone`, since some sources can be read only once.
#[must_use = "`create_upload` does nothing unless awaited"]
pub struct CreateUpload {
    target: Target,
    source: Source,
    policy: Option<Policy>,
    meter: Meter,
    reconcile: Option<Reconcile>,
}

impl fmt::Debug for CreateUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateUpload")
            .field("transport", &self.target.transport)
            .field("name", &self.target.name)
            .field("namespace", &self.target.namespace)
            .field("source", &self.source)
            .field("policy", &self.policy)
            .field("reconcile", &self.reconcile)
            .finish_non_exhaustive()
    }
}

impl CreateUpload {
    /// Sets the namespace of the image. Defaults to none.
    ///
    /// `lab` is a namespace of the token's user, and created if it does not exist; `lab@gordon` is
    /// one of the user `gordon`.
    pub fn namespace(mut self, namespace: NamespacePath) -> Self {
        self.target.namespace = Some(namespace);
        self
    }

    /// Sets the policy that the image must meet. Defaults to [`Policy::default`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Uploads any bytes, without an inspection.
    pub fn unchecked(mut self) -> Self {
        self.policy = None;
        self
    }

    /// Reports progress to `listener`.
    pub fn progress(mut self, listener: impl ProgressListener) -> Self {
        self.meter = Meter::new(Phase::Upload, listener);
        self
    }

    /// Looks for the image if the response is lost, instead of failing with
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown). Defaults to `false`.
    ///
    /// The name is looked up before the upload: one that exists fails with
    /// [`NameTaken`](crate::ErrorKind::NameTaken), and nothing is sent. If the response is lost, the
    /// image is looked for until the [deadline](Self::reconcile_within). The image that is returned
    /// did not exist before the call, was created by the token's user in the same namespace, and
    /// has the length that was sent and the [digest](Self::reconcile_sha256), if one is set. If the
    /// server has no such image, or the upload was not fully sent, it is sent again. The token
    /// needs `image:read` as well.
    ///
    /// A source that cannot be read again, such as a stream, is sent once. If the lookup finds no
    /// image, the call fails with [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), and with
    /// [`NotSent`](crate::ErrorKind::NotSent) if the upload was not fully sent.
    ///
    /// After a full upload, these count as a lost response:
    /// - no response, or a connection that breaks;
    /// - a 502 or 504, which a proxy sends while the server may still create the image;
    /// - a 2xx that is not from the API, or is larger than
    ///   [`max_response`](crate::ClientBuilder::max_response). If no image is found after it, nothing
    ///   is sent again, and the error is that of the response.
    ///
    /// A 503 or 429 does not: the server has refused the upload, and the call fails with
    /// [`Server`](crate::ErrorKind::Server) or [`RateLimited`](crate::ErrorKind::RateLimited). Such a
    /// call can be made again if the error [is retryable](crate::Error::is_retryable).
    ///
    /// Where several users upload into one namespace, another user may take the name during the
    /// call. An image of the same name and length there is not mistaken for the upload.
    ///
    /// This relies on two assumptions:
    /// - A server that responds, but has no image 15 s (and a second for each 50 MiB) after the
    ///   upload, does not create it later. A slower server may create it after the upload was sent
    ///   again, and usually rejects the second, since names are unique.
    /// - The same user does not upload another image of the same name and length at the same time,
    ///   unless a digest is set.
    ///
    #[doc = include_str!("reconcile.md")]
    #[doc(alias = "idempotent")]
    pub fn reconcile(mut self, reconcile: bool) -> Self {
        self.reconcile = reconcile.then(|| self.reconcile.unwrap_or_default());
        self
    }

    /// Enables [`reconcile`](Self::reconcile), and sets its deadline. Defaults to 60 s.
    ///
    /// This is how long to look for the image while the server cannot be reached. If the server
    /// responds and has no such image, it is looked for a quarter of this time. Both are longer by
    /// the time that the server may need to copy the image: a second for each 50 MiB.
    pub fn reconcile_within(mut self, limit: Duration) -> Self {
        self.reconcile.get_or_insert_default().within = limit;
        self
    }

    /// Enables [`reconcile`](Self::reconcile), and sets the digest of the bytes that are sent.
    ///
    /// After a lost response, an image of the name is taken for the upload only if it has this
    /// digest, which downloads it. If the response arrives, nothing is compared.
    #[doc(alias = "checksum")]
    #[doc(alias = "verify")]
    pub fn reconcile_sha256(mut self, digest: Digest) -> Self {
        self.reconcile.get_or_insert_default().sha256 = Some(digest);
        self
    }

    /// Uploads the image and waits for the response. Awaiting the builder does the same.
    ///
    /// A program that was killed during an upload can do it again. If the image was created, this
    /// fails with [`NameTaken`](crate::ErrorKind::NameTaken), with `reconcile` before the bytes are
    /// sent again. Compare its [digest](Images::digest), which downloads it, to see whether it is
    /// the same one. While the server still copies what it got of the killed program, the name
    /// appears free.
    ///
    /// ```
    /// # #[cfg(feature = "fs")]
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// use machine_images::djinn::Source;
    /// use machine_images::{Digest, ErrorKind};
    ///
    /// let file = Source::file("debian-12.qcow2");
    /// let image = match images.create_upload("debian-12", file).reconcile(true).await {
    ///     Err(error) if error.kind() == ErrorKind::NameTaken => {
    ///         let Some(found) = images.find("debian-12").await? else { return Err(error) };
    ///         let there = images.digest(found.id).await?.sha256;
    ///         match there == Digest::of_file("debian-12.qcow2").await? {
    ///             true => found,
    ///             false => return Err(error),
    ///         }
    ///     }
    ///     created => created?,
    /// };
    /// # let _ = image;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The body is sent once. It is sent again only if no connection could be made, and the source
    /// is a file or bytes. A file is read ahead on a blocking thread of the runtime; about 2 MiB of
    /// it are in memory at a time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the upload. The server keeps nothing of it, unless all of it was sent:
    /// then it may create the image.
    ///
    /// # Errors
    ///
    /// Before anything is sent:
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name with other characters, or a
    ///   namespace with digits.
    /// - [`ImageRejected`](crate::ErrorKind::ImageRejected) if the image does not meet the
    ///   policy: see [`inspection`](crate::Error::inspection).
    /// - [`Source`](crate::ErrorKind::Source) if the file cannot be opened.
    ///
    /// Later:
    /// - [`Source`](crate::ErrorKind::Source) if the source fails, stalls, shrinks or grows.
    /// - [`NameTaken`](crate::ErrorKind::NameTaken) if an image of that name exists already.
    /// - [`Rejected`](crate::ErrorKind::Rejected) for a namespace that the token must not use, or
    ///   a file that is not QCOW2: see [`fields`](crate::Error::fields).
    /// - [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) if the token is wrong
    ///   or lacks `image:write`.
    /// - [`TooLarge`](crate::ErrorKind::TooLarge) if the server, or a proxy, refuses the length: a
    ///   413, or a Djinn CI server's 500 that ends in `file too large`.
    /// - [`NotSent`](crate::ErrorKind::NotSent) if the connection breaks before the whole image was
    ///   sent: the server creates nothing, so send it again.
    /// - [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the connection breaks between that
    ///   and the response: [`find`](Images::find) the image, or use [`reconcile`](Self::reconcile).
    ///
    /// With [`reconcile`](Self::reconcile) also:
    /// - [`Unauthorized`](crate::ErrorKind::Unauthorized) if the token is wrong, or the server does
    ///   not tell its user: see [`check`](super::Client::check).
    /// - [`Limit`](crate::ErrorKind::Limit) if the list of images keeps changing.
    pub async fn send(self) -> Result<Image> {
        let operation = Operation::new("create image").on(format!("{:?}", self.target.name));
        operation.run(self.create()).await
    }

    async fn create(mut self) -> Result<Image> {
        check_name(&self.target.name)?;
        check_new_namespace(self.target.namespace.as_ref())?;
        if let Some(policy) = &self.policy {
            let patience = self.target.transport.patience();
            let checked = self.source.checked(policy, patience);
            self.source = Box::pin(checked).await?;
        }
        match self.reconcile {
            None => self.target.upload(self.source, self.meter).await,
            // Boxed, as it is rarely used and would make the future half as large again.
            Some(options) => {
                let search = Box::pin(Search::begin(&self.target, options)).await?;
                Box::pin(search.upload(self.source, self.meter)).await
            }
        }
    }
}

awaitable!(CreateUpload, send -> Image);
