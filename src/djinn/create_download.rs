//! Creating an image by a download that the server makes.

use std::fmt;
use std::time::Duration;

use url::Url;

use super::images::Images;
use super::model::Image;
use super::name::{NamespacePath, check_name, check_new_namespace};
use super::reconcile::{Reconcile, Search};
use super::target::Target;
use crate::call::awaitable;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::transport::public_url;

impl Images {
    /// Creates an image that the server downloads from a URL, some time later.
    ///
    /// `Endpoint: POST /images`
    ///
    /// The token needs `image:write`. The name has ASCII letters, digits, `_` and `-`. The
    /// response of the URL must have `Content-Type: application/x-qemu-disk`. The server checks
    /// neither its status nor its content: [`wait_downloaded`](Images::wait_downloaded) does.
    /// Servers were seen to fail with every `sftp` URL, and to leave the download of an `http` URL
    /// with user and password running forever.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> Result<(), Box<dyn std::error::Error>> {
    /// let url = "https://example.org/alpine.qcow2".parse()?;
    /// let image = images.create_download("alpine", url).await?;
    /// let image = images.wait_downloaded(image.id).timeout(Duration::from_secs(600)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_download(&self, name: impl Into<String>, url: Url) -> CreateDownload {
        CreateDownload {
            target: Target {
                transport: self.transport.clone(),
                name: name.into(),
                namespace: None,
            },
            url,
            reconcile: None,
        }
    }
}

/// A builder that creates an image by a download: see [`Images::create_download`].
#[derive(Clone)]
#[must_use = "`create_download` does nothing unless awaited"]
pub struct CreateDownload {
    target: Target,
    url: Url,
    reconcile: Option<Reconcile>,
}

/// Leaves out the secrets of the URL.
impl fmt::Debug for CreateDownload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateDownload")
            .field("transport", &self.target.transport)
            .field("name", &self.target.name)
            .field("url", &public_url(&self.url))
            .field("namespace", &self.target.namespace)
            .field("reconcile", &self.reconcile)
            .finish()
    }
}

impl CreateDownload {
    /// Sets the namespace of the image. Defaults to none.
    ///
    /// `lab` is a namespace of the token's user, and created if it does not exist; `lab@gordon` is
    /// one of the user `gordon`.
    pub fn namespace(mut self, namespace: NamespacePath) -> Self {
        self.target.namespace = Some(namespace);
        self
    }

    /// Looks for the image if the response is lost, instead of failing with
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown). Defaults to `false`.
    ///
    /// As for [`CreateUpload::reconcile`](super::CreateUpload::reconcile), the name is looked up
    /// first, the image that is returned is new and was created by the token's user in the same
    /// namespace, and the request is sent again if the server has no such image. Instead of a length
    /// the image has the [source](super::Download::source) that was sent, in letters of any case and
    /// with any login. An older server does not tell the source: there the call fails with
    /// [`NameTaken`](crate::ErrorKind::NameTaken). The token needs `image:read` as well.
    ///
    /// Assumed, by the server's code: if the connection breaks before the server has queued the
    /// download, the image stays queued. Then [`wait_downloaded`](Images::wait_downloaded) times out.
    #[doc(alias = "idempotent")]
    pub fn reconcile(mut self, reconcile: bool) -> Self {
        self.reconcile = reconcile.then(|| self.reconcile.unwrap_or_default());
        self
    }

    /// Enables [`reconcile`](Self::reconcile), and sets its deadline. Defaults to 60 s.
    ///
    /// This is how long to look for the image while the server cannot be reached. If the server
    /// responds and has no such image, it is looked for a quarter of this time.
    pub fn reconcile_within(mut self, limit: Duration) -> Self {
        self.reconcile.get_or_insert_default().within = limit;
        self
    }

    /// Sends the request. Awaiting the builder does the same.
    ///
    /// Returns before the download is complete, and without a [`download`](Image::download) unless the
    /// image was looked for: see [`Images::wait_downloaded`].
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name with other characters, a
    ///   namespace with digits, or a URL that is not `http`, `https` or, with a password, `sftp`;
    ///   nothing is sent.
    /// - [`NameTaken`](crate::ErrorKind::NameTaken) if an image of that name exists already.
    /// - [`Rejected`](crate::ErrorKind::Rejected) for a namespace that the token must not use: see
    ///   [`fields`](crate::Error::fields).
    /// - [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) if the token is wrong
    ///   or lacks `image:write`.
    /// - [`Server`](crate::ErrorKind::Server) if the server failed. A server whose queue is down has
    ///   created the image by then, never downloads it, and keeps its name: [`find`](Images::find)
    ///   and delete it before trying again.
    /// - [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the connection breaks before the
    ///   response: [`find`](Images::find) the image before trying again, or use
    ///   [`reconcile`](Self::reconcile).
    ///
    /// With [`reconcile`](Self::reconcile) also:
    /// - [`Unauthorized`](crate::ErrorKind::Unauthorized) if the token is wrong, or the server does
    ///   not tell its user: see [`check`](super::Client::check).
    /// - [`Limit`](crate::ErrorKind::Limit) if the list of images keeps changing.
    pub async fn send(self) -> Result<Image> {
        let operation = Operation::new("create image").on(format!("{:?}", self.target.name));
        operation.run(self.create()).await
    }

    async fn create(self) -> Result<Image> {
        check_name(&self.target.name)?;
        check_new_namespace(self.target.namespace.as_ref())?;
        check_url(&self.url)?;
        match self.reconcile {
            None => self.target.download(&self.url).await,
            // Boxed, as it is rarely used and would make the future several times as large.
            Some(options) => {
                let search = Box::pin(Search::begin(&self.target, options)).await?;
                Box::pin(search.download(&self.url)).await
            }
        }
    }
}

awaitable!(CreateDownload, send -> Image);

/// Refuses a URL that the server would reject.
fn check_url(url: &Url) -> Result<()> {
    let why = match url.scheme() {
        "http" | "https" => return Ok(()),
        "sftp" if url.password().is_some_and(|password| !password.is_empty()) => return Ok(()),
        "sftp" => "an sftp URL needs a password",
        _ => "a download URL must be http, https or sftp",
    };
    Err(Error::invalid(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_the_server_takes_them() {
        for (url, fits) in [
            ("http://127.0.0.1:9099/ok.qcow2", true),
            ("HTTPS://example.org/x", true),
            ("http://User:SecretPw@127.0.0.1/ok.qcow2", true),
            ("sftp://root:pw@127.0.0.1/x", true),
            ("sftp://root@127.0.0.1/x", false),
            ("ssh://root:secret@example.com/x", false),
            ("ftp://example.com/x", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(check_url(&url.parse().unwrap()).is_ok(), fits, "{url}");
        }
    }
}
