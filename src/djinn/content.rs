//! An image's content as it arrives.

use std::ops::RangeBounds;

use super::{ImageId, Images, QEMU_DISK, missing};
use crate::call::awaitable;
use crate::content::{ByteRange, Content, Empty, Location};
use crate::digest::Digest;
use crate::error::Result;
use crate::operation::Operation;
use crate::progress::{Meter, Phase, ProgressListener};
use crate::transport::Transport;

impl Images {
    /// Gets an image's content: the bytes of the QCOW2 file, in order.
    ///
    /// `Endpoint: GET /images/:id` with `Accept: application/x-qemu-disk`
    ///
    /// Returns as soon as the response begins; the [`Content`] is then read as a stream, a reader or
    /// at once. To write it to a file, use [`save`](Self::save). The content is not inspected: see
    /// [`inspect`](Self::inspect).
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let mut content = images.content(42).await?;
    /// while let Some(chunk) = content.chunk().await? {
    ///     println!("{} bytes", chunk.len());
    /// }
    /// let header = images.content(42).range(0..512).await?.bytes().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A digest can be expected of the whole content only:
    ///
    /// ```compile_fail,E0599
    /// # async fn example(images: machine_images::djinn::Images, digest: machine_images::Digest) {
    /// images.content(42).sha256(digest).range(0..512);
    /// # }
    /// ```
    ///
    /// Only [`save`](Self::save) uses several connections, and inspects:
    ///
    /// ```compile_fail,E0599
    /// # async fn example(images: machine_images::djinn::Images) {
    /// images.content(42).connections(4);
    /// # }
    /// ```
    ///
    /// ```compile_fail,E0599
    /// # async fn example(images: machine_images::djinn::Images) {
    /// images.content(42).policy(Default::default());
    /// # }
    /// ```
    #[doc(alias = "download")]
    #[doc(alias = "bytes")]
    pub fn content(&self, id: impl Into<ImageId>) -> GetContent {
        GetContent {
            images: self.clone(),
            id: id.into(),
            meter: Meter::default(),
        }
    }

    /// The place of an image's content.
    pub(super) fn location(&self, operation: Operation, id: ImageId) -> Location {
        location(&self.transport, operation, id)
    }
}

/// The place of an image's content.
pub(super) fn location(transport: &Transport, operation: Operation, id: ImageId) -> Location {
    Location {
        transport: transport.clone(),
        operation,
        path: vec!["images".to_owned(), id.to_string()],
        media_type: QEMU_DISK,
        explain: missing::explain,
    }
}

/// A builder that gets an image's content: see [`Images::content`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent unless this is awaited"]
pub struct GetContent {
    images: Images,
    id: ImageId,
    meter: Meter,
}

impl GetContent {
    /// Gets only these bytes, counted from 0. A range that goes past the end of the image is cut
    /// there.
    #[doc(alias = "offset")]
    pub fn range(self, bytes: impl RangeBounds<u64>) -> GetRange {
        GetRange {
            range: ByteRange::of(&bytes).map(Some),
            content: self,
        }
    }

    /// Gets only the last `length` bytes, or the whole image if it is shorter.
    #[doc(alias = "tail")]
    pub fn suffix(self, length: u64) -> GetRange {
        GetRange {
            range: ByteRange::suffix(length).map(Some),
            content: self,
        }
    }

    /// Gets the range that the `Range` header of an HTTP request names, such as `bytes=0-511`,
    /// `bytes=512-` or `bytes=-512`.
    ///
    /// For servers that pass images on. Gets the whole image if the header is invalid or names
    /// several ranges: a server may ignore those.
    #[doc(alias = "proxy")]
    pub fn range_header(self, header: &str) -> GetRange {
        GetRange {
            range: Ok(ByteRange::parse(header)),
            content: self,
        }
    }

    /// Fails with [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if the content has another SHA-256, before
    /// the last bytes are returned.
    #[doc(alias = "checksum")]
    #[doc(alias = "verify")]
    pub fn sha256(self, digest: Digest) -> GetVerified {
        GetVerified {
            content: self,
            digest,
        }
    }

    /// Reports progress to `listener`.
    pub fn progress(mut self, listener: impl ProgressListener) -> Self {
        self.meter = Meter::new(Phase::Content, listener);
        self
    }

    pub(super) fn meter(mut self, meter: Meter) -> Self {
        self.meter = meter;
        self
    }

    /// Sends the request, and returns the content to be read.
    ///
    /// # Errors
    ///
    /// - [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) if there is no such
    ///   image, or the token is wrong.
    /// - [`NotReady`](crate::ErrorKind::NotReady) while the server is still downloading the image:
    ///   see [`Images::wait_downloaded`].
    /// - [`DownloadFailed`](crate::ErrorKind::DownloadFailed), with the server's text as
    ///   [`message`](crate::Error::message), if the download failed: delete the image.
    /// - [`UnexpectedContent`](crate::ErrorKind::UnexpectedContent),
    ///   [`UnexpectedStatus`](crate::ErrorKind::UnexpectedStatus) or
    ///   [`Range`](crate::ErrorKind::Range) if the response is not an image, or not all of it.
    pub async fn send(self) -> Result<Content> {
        self.open(Ok(None)).await
    }

    async fn open(self, range: Result<Option<ByteRange>, Empty>) -> Result<Content> {
        let operation = Operation::new("get content of image").on(self.id);
        let location = self.images.location(operation.clone(), self.id);
        let opened = async {
            let range = range.map_err(Empty::error)?;
            let mut retries = location.transport.retry().start();
            let answer = match range {
                Some(range) => location.get_range(range, None, &mut retries).await?,
                None => location.get(&mut retries).await?,
            };
            let end = range.and_then(ByteRange::end);
            Ok(Content::new(location, answer, end, retries, self.meter))
        };
        operation.run(opened).await
    }
}

/// A builder that gets a range of an image's content: see [`GetContent::range`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent unless this is awaited"]
pub struct GetRange {
    content: GetContent,
    range: Result<Option<ByteRange>, Empty>,
}

impl GetRange {
    /// Reports progress to `listener`.
    pub fn progress(mut self, listener: impl ProgressListener) -> Self {
        self.content = self.content.progress(listener);
        self
    }

    /// Sends the request, and returns the content to be read.
    ///
    /// # Errors
    ///
    /// - Those of [`GetContent::send`].
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) for an empty range.
    /// - [`Range`](crate::ErrorKind::Range) if the range begins past the end of the image, whose
    ///   length is then [`total`](crate::Error::total), or if the server sends another range.
    pub async fn send(self) -> Result<Content> {
        self.content.open(self.range).await
    }
}

/// A builder that gets an image's content and verifies its digest: see [`GetContent::sha256`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent unless this is awaited"]
pub struct GetVerified {
    content: GetContent,
    digest: Digest,
}

impl GetVerified {
    /// Reports progress to `listener`.
    pub fn progress(mut self, listener: impl ProgressListener) -> Self {
        self.content = self.content.progress(listener);
        self
    }

    /// Sends the request, and returns the content to be read.
    ///
    /// # Errors
    ///
    /// Those of [`GetContent::send`]. Another digest is an error of the [`Content`].
    pub async fn send(self) -> Result<Content> {
        let content = self.content.send().await?;
        Ok(content.verify(self.digest))
    }
}

awaitable!(GetContent, send -> Content);
awaitable!(GetRange, send -> Content);
awaitable!(GetVerified, send -> Content);
