//! An image's contents.

use std::ops::{Bound, RangeBounds};
#[cfg(feature = "fs")]
use std::path::PathBuf;

use super::{ImageId, Images, QEMU_DISK, missing};
use crate::content::{Content, Location, RemoteReader, Span};
#[cfg(feature = "fs")]
use crate::content::{Options, Saved, save};
#[cfg(feature = "fs")]
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::progress::{Meter, Phase, ProgressListener};
use crate::qcow2::{Policy, Report};
use crate::transport::Transport;

impl Images {
    /// Fetches an image's contents: as a stream, in memory, or to a file; or reads and inspects
    /// them where they are.
    ///
    /// `Endpoint: GET /images/:id` with `Accept: application/x-qemu-disk` to the letter
    ///
    /// The type of the answer is checked before a byte is given out, as the server sends JSON with
    /// status 200 to whoever writes that header in another way. On a 404 the metadata are asked
    /// for, as the server has no other word for an image that it has yet to download.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// # #[cfg(feature = "fs")] {
    /// let saved = images.content(42).save_to("debian-12.qcow2").await?;
    /// println!("{} bytes in {:?}", saved.bytes, saved.elapsed);
    /// # }
    /// let header = images.content(42).range(0..512).send().await?.bytes().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn content(&self, id: impl Into<ImageId>) -> ContentRequest {
        ContentRequest {
            transport: self.transport.clone(),
            id: id.into(),
            meter: Meter::default(),
            range: None,
            policy: Some(Policy::default()),
            #[cfg(feature = "fs")]
            options: Options::default(),
        }
    }
}

/// Fetches an image's contents: see [`Images::content`].
#[derive(Clone)]
#[must_use = "nothing is sent before `send`, `inspect` or `save_to`"]
pub struct ContentRequest {
    transport: Transport,
    id: ImageId,
    meter: Meter,
    range: Option<(Bound<u64>, Bound<u64>)>,
    policy: Option<Policy>,
    #[cfg(feature = "fs")]
    options: Options,
}

impl ContentRequest {
    /// Asks for these bytes only, counted from 0. A range that goes past the end of the image is
    /// cut there.
    pub fn range(mut self, bytes: impl RangeBounds<u64>) -> Self {
        self.range = Some((bytes.start_bound().cloned(), bytes.end_bound().cloned()));
        self
    }

    /// Is told how many bytes have come.
    pub fn progress(mut self, listener: impl ProgressListener) -> Self {
        self.meter = Meter::new(Phase::Content, listener);
        self
    }

    /// Asks for the contents, and leaves them to be read.
    ///
    /// # Errors
    ///
    /// [`NotFoundOrUnauthorized`](crate::ErrorKind::NotFoundOrUnauthorized) if there is no such
    /// image for this token; [`NotReady`](crate::ErrorKind::NotReady) if the server has yet to
    /// download it; [`DownloadFailed`](crate::ErrorKind::DownloadFailed) with the server's text as
    /// [`message`](Error::message) if it could not;
    /// [`UnexpectedContent`](crate::ErrorKind::UnexpectedContent) if the answer is not an image;
    /// [`Range`](crate::ErrorKind::Range) if a range begins past the end, or another one came;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a range that is empty.
    pub async fn send(self) -> Result<Content> {
        let operation = Operation::new("get content of image").on(self.id);
        let location = location(&self.transport, operation.clone(), self.id);
        let opened = async {
            let span = self.span()?;
            let mut retries = self.transport.retry().start();
            let part = match span {
                Some(span) => location.open_span(span, None, &mut retries).await?,
                None => location.open_whole(&mut retries).await?,
            };
            let end = span.and_then(|span| span.end);
            Ok(Content::new(
                location,
                part,
                end,
                retries,
                self.meter.clone(),
            ))
        };
        operation.run(opened).await
    }

    fn span(&self) -> Result<Option<Span>> {
        let Some((start, end)) = self.range else {
            return Ok(None);
        };
        let start = match start {
            Bound::Included(first) => Some(first),
            Bound::Excluded(before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match end {
            Bound::Included(last) => last.checked_add(1),
            Bound::Excluded(end) => Some(end),
            Bound::Unbounded => None,
        };
        match start {
            Some(start) if end.is_none_or(|end| start < end) => Ok(Some(Span { start, end })),
            _ => Err(Error::invalid("the range is empty")),
        }
    }

    /// What [`inspect`](Self::inspect) and `save_to` hold the image to, in place of the default.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Reads the header and the tables of the image where it is, and says what is in them; never
    /// the image. It takes one request for 64 KiB, and more only for images with snapshots, bitmaps
    /// or LUKS, or with a larger first cluster; of a server without ranges no more than that is
    /// read either.
    ///
    /// A bad image is no error but a [`Report`].
    ///
    /// ```
    /// use machine_images::qcow2::Verdict;
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let report = images.content(42).inspect().await?;
    /// for finding in &report.findings {
    ///     println!("{}: {finding}", finding.severity);
    /// }
    /// assert_eq!(report.verdict(), Verdict::Accept);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send) and [`Content::chunk`];
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) with a [`range`](Self::range).
    pub async fn inspect(self) -> Result<Report> {
        let operation = Operation::new("inspect image").on(self.id);
        let inspection = async {
            self.refuse_range()?;
            let location = location(&self.transport, operation.clone(), self.id);
            let policy = self.policy.clone().unwrap_or_default();
            let (report, _) = location.inspect(None, &policy).await?;
            Ok(report)
        };
        operation.run(inspection).await
    }

    /// Reads the image where it is, from any position. Nothing is sent before the first read; what
    /// is read is not inspected.
    ///
    /// ```
    /// use std::io::SeekFrom;
    ///
    /// use tokio::io::{AsyncReadExt, AsyncSeekExt};
    ///
    /// # async fn example(images: machine_images::djinn::Images) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut image = images.content(42).reader()?;
    /// let length = image.seek(SeekFrom::End(0)).await?;
    /// let mut last = [0; 512];
    /// image.seek(SeekFrom::End(-512)).await?;
    /// image.read_exact(&mut last).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) with a [`range`](Self::range).
    pub fn reader(self) -> Result<RemoteReader> {
        let operation = Operation::new("read image").on(self.id);
        self.refuse_range()
            .map_err(|error| error.during(&operation))?;
        let location = location(&self.transport, operation, self.id);
        Ok(RemoteReader::new(location))
    }

    fn refuse_range(&self) -> Result<()> {
        match self.range {
            Some(_) => Err(Error::invalid("this takes the whole, not a range")),
            None => Ok(()),
        }
    }
}

/// Where an image's contents are.
pub(super) fn location(transport: &Transport, operation: Operation, id: ImageId) -> Location {
    Location {
        transport: transport.clone(),
        operation,
        path: vec!["images".to_owned(), id.to_string()],
        media_type: QEMU_DISK,
        explain: missing::explain,
    }
}

/// Fetching to a file.
#[cfg(feature = "fs")]
impl ContentRequest {
    /// Fetches with up to this many connections, each a range at a time. Small images, and
    /// servers without ranges or a date, are fetched with one.
    pub fn connections(mut self, connections: usize) -> Self {
        self.options.connections = connections.max(1);
        self
    }

    /// Expects this digest; contents with another leave no file.
    pub fn sha256(mut self, digest: Digest) -> Self {
        self.options.sha256 = Some(digest);
        self
    }

    /// Whether to go on where an earlier fetch to the same file stopped, and to leave behind what
    /// can be continued. It does unless told otherwise.
    pub fn resume(mut self, resume: bool) -> Self {
        self.options.resume = resume;
        self
    }

    /// Whether the contents are to be on the disk, not only with the system, when the file gets
    /// its name. They are unless told otherwise; without, a crash of the machine can leave a
    /// file with holes.
    pub fn durable(mut self, durable: bool) -> Self {
        self.options.durable = durable;
        self
    }

    /// Fetches whatever it is, without an inspection.
    pub fn unchecked(mut self) -> Self {
        self.policy = None;
        self
    }

    /// Fetches the whole contents to a file.
    ///
    /// The image is inspected first, as by [`inspect`](Self::inspect): of one that the
    /// [`policy`](Self::policy) rejects no more than the header is fetched, and nothing is left. What
    /// was fetched is inspected once more before it gets its name.
    ///
    /// They are written to `PATH.part`, which is renamed when it is whole; until then a file that
    /// is already at `path` stays as it is. If the fetch fails, is dropped or killed, what there is
    /// stays in `PATH.part`, with a journal in `PATH.part.journal`, and the next fetch to the same
    /// path goes on from there, if the server still has the same version. What cannot be continued
    /// does not stay. Runs of zeros become holes. A symbolic link at `path` is replaced, not
    /// followed. A name that would be longer than 255 bytes with `.part.journal` is shortened for
    /// those two.
    ///
    /// On Unix only the user who runs it can read `PATH.part`. The file gets the mode of the one
    /// that it replaces, or that of a new file. Continues nothing that another user owns or can
    /// write to, and nothing that has a second name: files in a directory for everyone may be
    /// planted. A `PATH.part` of someone else, a FIFO or a link is an error that names it.
    ///
    /// It runs on a thread of its own, which writes as it reads.
    ///
    /// # Cancel safety
    ///
    /// A fetch that is dropped no longer replaces the file at `path`. A drop while it is being
    /// replaced waits for that one step.
    ///
    /// # Errors
    ///
    /// Those of [`send`](Self::send) and [`Content::chunk`];
    /// [`ImageRejected`](crate::ErrorKind::ImageRejected) with what was found as
    /// [`inspection`](Error::inspection);
    /// [`Io`](crate::ErrorKind::Io) if the file cannot be written;
    /// [`Busy`](crate::ErrorKind::Busy) if it is being fetched already, or `PATH.part` was removed
    /// or replaced meanwhile;
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) for another digest than the expected;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) with a [`range`](Self::range).
    pub async fn save_to(self, path: impl Into<PathBuf>) -> Result<Saved> {
        let path = path.into();
        let operation = Operation::new("save image");
        let operation = operation.on(format!("{} to {}", self.id, path.display()));
        self.refuse_range()
            .map_err(|error| error.during(&operation))?;
        let location = location(&self.transport, operation, self.id);
        let options = Options {
            meter: self.meter,
            policy: self.policy,
            ..self.options
        };
        save(location, path, options).await
    }
}
