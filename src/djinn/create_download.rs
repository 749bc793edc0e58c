//! Creating an image by a download that the server makes.

use std::fmt;

use percent_encoding::percent_decode_str;
use reqwest::Method;
use serde::Serialize;
use url::Url;

use super::images::Images;
use super::model::Image;
use super::name::{NamespacePath, check_name, check_new_namespace, taken};
use crate::call::awaitable;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::transport::{Request, Transport, public_url};

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
            transport: self.transport.clone(),
            name: name.into(),
            url,
            namespace: None,
        }
    }
}

/// A builder that creates an image by a download: see [`Images::create_download`].
#[derive(Clone)]
#[must_use = "`create_download` does nothing unless awaited"]
pub struct CreateDownload {
    transport: Transport,
    name: String,
    url: Url,
    namespace: Option<NamespacePath>,
}

/// Leaves out the secrets of the URL.
impl fmt::Debug for CreateDownload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateDownload")
            .field("transport", &self.transport)
            .field("name", &self.name)
            .field("url", &public_url(&self.url))
            .field("namespace", &self.namespace)
            .finish()
    }
}

#[derive(Serialize)]
struct Parameters<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    download_url: &'a str,
}

impl CreateDownload {
    /// Sets the namespace of the image. Defaults to none.
    ///
    /// `lab` is a namespace of the token's user, and created if it does not exist; `lab@gordon` is
    /// one of the user `gordon`.
    pub fn namespace(mut self, namespace: NamespacePath) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Sends the request. Awaiting the builder does the same.
    ///
    /// Returns before the download begins, without a [`download`](Image::download): see
    /// [`Images::wait_downloaded`].
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
    ///   response: [`find`](Images::find) the image before trying again.
    pub async fn send(self) -> Result<Image> {
        let operation = Operation::new("create image").on(format!("{:?}", self.name));
        operation.run(self.create()).await
    }

    async fn create(self) -> Result<Image> {
        check_name(&self.name)?;
        check_new_namespace(self.namespace.as_ref())?;
        check_url(&self.url)?;
        let body = Parameters {
            name: &self.name,
            namespace: self.namespace.as_ref().map(ToString::to_string),
            download_url: self.url.as_str(),
        };
        let mut request = Request::new(Method::POST).path(["images"])?.json(&body)?;
        for secret in secrets(&self.url) {
            // The server repeats URLs in lower case.
            request = request.secret(&secret).secret(&secret.to_lowercase());
        }
        let response = self.transport.fetch(request).await;
        response.map_err(|error| taken(error, &self.name))?.json()
    }
}

awaitable!(CreateDownload, send -> Image);

/// Returns the secrets of a URL: its password, or else its user, and long values of its query, such
/// as signatures; percent-encoded and decoded. Short ones are removed with the query of the URL.
fn secrets(url: &Url) -> Vec<String> {
    let pairs = url.query().unwrap_or_default().split('&');
    let values = pairs.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    let login = url.password().unwrap_or(url.username());
    let sent = values.filter(|value| value.len() >= 8).chain([login]);
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    sent.flat_map(|text| [text.to_owned(), decoded(text)])
        .collect()
}

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
