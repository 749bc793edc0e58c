//! Creation by a download that the server makes.

use percent_encoding::percent_decode_str;
use reqwest::Method;
use serde::Serialize;
use url::Url;

use super::name::{check_name, taken};
use super::{Image, Images, NamespacePath};
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::transport::{Request, Transport};

impl Images {
    /// Creates an image that the server downloads by itself, some time later.
    ///
    /// `Endpoint: POST /images`
    ///
    /// The source must answer with `Content-Type: application/x-qemu-disk`; its status and
    /// contents are not checked by the server, but by [`wait_downloaded`](Images::wait_downloaded).
    /// Servers were seen to fail with every `sftp` source, and to leave the download of an `http`
    /// URL with user and password running for ever.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> Result<(), Box<dyn std::error::Error>> {
    /// let url = "https://example.org/alpine.qcow2".parse()?;
    /// let image = images.create_download("alpine", url).send().await?;
    /// let image = images.wait_downloaded(image.id).timeout(Duration::from_secs(600)).send().await?;
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

/// Creates an image by a download that the server makes: see [`Images::create_download`].
#[derive(Clone)]
#[must_use = "nothing is sent before `send`"]
pub struct CreateDownload {
    transport: Transport,
    name: String,
    url: Url,
    namespace: Option<NamespacePath>,
}

#[derive(Serialize)]
struct Parameters<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    download_url: &'a str,
}

impl CreateDownload {
    /// Puts the image in a namespace, which is created if it is one's own and does not exist.
    pub fn namespace(mut self, namespace: NamespacePath) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Asks the server to download the image. Its answer does not wait for that, and has no
    /// [`download`](Image::download) yet: see [`Images::wait_downloaded`].
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) before a byte is sent if the name is not
    /// made of ASCII letters, digits, `_` and `-`, or the URL is not one of `http`, `https` or, with
    /// a password, `sftp`; [`Rejected`](crate::ErrorKind::Rejected) with
    /// [`fields`](crate::Error::fields) if the name is taken or the namespace denied;
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the connection breaks before the
    /// answer.
    pub async fn send(self) -> Result<Image> {
        let operation = Operation::new("create image").on(format!("{:?}", self.name));
        operation.run(self.create()).await
    }

    async fn create(self) -> Result<Image> {
        check_name(&self.name)?;
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
        let answer = self.transport.fetch(request).await;
        answer.map_err(|error| taken(error, &self.name))?.json()
    }
}

/// What of a URL is not to be shown: its password, what stands in for one, and long values of the
/// query, such as signatures; as they are sent, and decoded.
fn secrets(url: &Url) -> Vec<String> {
    let pairs = url.query().unwrap_or_default().split('&');
    let values = pairs.filter_map(|pair| pair.split_once('=').map(|(_, value)| value));
    let login = url.password().unwrap_or(url.username());
    let sent = values.filter(|value| value.len() >= 8).chain([login]);
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    sent.flat_map(|text| [text.to_owned(), decoded(text)])
        .collect()
}

/// Refuses what the server would refuse.
fn check_url(url: &Url) -> Result<()> {
    let why = match url.scheme() {
        "http" | "https" => return Ok(()),
        "sftp" if url.password().is_some_and(|password| !password.is_empty()) => return Ok(()),
        "sftp" => "an sftp URL needs a password",
        _ => "a download URL is one of http, https or sftp",
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
