//! Creation by upload.

use reqwest::Method;

use super::name::check_name;
use super::{Image, Images, NamespacePath, QEMU_DISK, Source};
use crate::error::Result;
use crate::progress::{Meter, Phase, Progress};
use crate::transport::{Request, Transport};

const OPERATION: &str = "create image by upload";

impl Images {
    /// Creates an image from bytes that are sent as they are.
    ///
    /// `Endpoint: POST /images?name=&namespace=`
    ///
    /// The name is made of ASCII letters, digits, `_` and `-`. The server looks at the name and at
    /// the first four bytes of the image only after the whole body has arrived.
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
            transport: self.transport.clone(),
            name: name.into(),
            source: source.into(),
            namespace: None,
            meter: Meter::default(),
        }
    }
}

/// Creates an image by upload: see [`Images::create_upload`].
#[must_use = "nothing is sent before `send`"]
pub struct CreateUpload {
    transport: Transport,
    name: String,
    source: Source,
    namespace: Option<NamespacePath>,
    meter: Meter,
}

impl CreateUpload {
    /// Puts the image in a namespace, which is created if it is one's own and does not exist.
    pub fn namespace(mut self, namespace: NamespacePath) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Is told how many bytes have been sent.
    pub fn progress(mut self, listener: impl Progress) -> Self {
        self.meter = Meter::new(Phase::Upload, listener);
        self
    }

    /// Sends the image and waits for the server's answer.
    ///
    /// The body is sent once. Only if no connection could be made, and the source is a file or
    /// bytes, is it tried again. Dropping the future ends the upload, and the server keeps nothing
    /// of it.
    ///
    /// # Errors
    ///
    /// Before a byte is sent: [`InvalidInput`](crate::ErrorKind::InvalidInput) for the name,
    /// [`Source`](crate::ErrorKind::Source) for a file that cannot be opened. Later:
    /// [`Source`](crate::ErrorKind::Source) if the source fails, shrinks or grows;
    /// [`Rejected`](crate::ErrorKind::Rejected) with [`fields`](crate::Error::fields) if the name
    /// is taken, the namespace denied or the file no QCOW2;
    /// [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) for the token;
    /// [`TooLarge`](crate::ErrorKind::TooLarge);
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if the connection breaks before the
    /// answer: the server may have created the image or not.
    pub async fn send(self) -> Result<Image> {
        check_name(OPERATION, &self.name)?;
        let mut request = Request::new(OPERATION, Method::POST)
            .path(["images"])?
            .query("name", &self.name);
        if let Some(namespace) = &self.namespace {
            request = request.query("namespace", &namespace.to_string());
        }
        let request = request.upload(self.source, self.meter.clone(), QEMU_DISK);
        let answer = self.transport.fetch(request).await?;
        self.meter.finish();
        answer.json()
    }
}
