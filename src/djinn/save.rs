//! An image's content in a file.

use std::path::PathBuf;

use super::{ImageId, Images};
use crate::call::awaitable;
use crate::digest::Digest;
use crate::error::Result;
use crate::operation::Operation;
use crate::progress::{Meter, Phase, ProgressListener};
use crate::qcow2::Policy;
use crate::save::{Options, Saved, WhenBusy, save};

impl Images {
    /// Saves an image's content to a file, and continues where an earlier call stopped.
    ///
    /// `Endpoint: GET /images/:id` with `Accept: application/x-qemu-disk`
    ///
    /// The image is inspected as it arrives, as by [`inspect`](Self::inspect). If the
    /// [policy](Save::policy) rejects it, nothing of it is left; for a bad header less than 1 MiB is
    /// received, unless clusters are larger. The file is inspected once more before it gets its name.
    ///
    /// The content is written to `PATH.part`, which is renamed to `path` when it is complete; a
    /// file that is already at `path` stays until then. If the call fails, is dropped or killed,
    /// the next one to the same path continues with what is in `PATH.part` and
    /// `PATH.part.state`, provided that the server still has the same version; after a kill, up to
    /// 1 MiB for each connection is fetched again. Runs of zeros become holes. The file's time is
    /// set to the image's `Last-Modified`. A symbolic link at `path` is replaced, not followed. If
    /// `.part.state` makes the name longer than 255 bytes, the names of these two files are shortened.
    ///
    /// On Unix, `PATH.part` is readable only by the user of the process. The file gets the mode of
    /// the file it replaces, or that of a new one. In a world-writable directory a `PATH.part`
    /// may have been planted: one that others can write to is deleted, not resumed. One that belongs
    /// to another user or has another hard link, a FIFO and a link are errors that name it.
    ///
    /// An accepted image takes one request, on an idle connection of the client if there is one. For
    /// a large one [more connections](Save::connections) are made as long as they bring more. The
    /// transfer runs on threads of its own, which write as they read.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let saved = images.save(42, "debian-12.qcow2").await?;
    /// println!("{} bytes in {:?}", saved.bytes, saved.elapsed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Saves the whole image; [`content`](Self::content) gets a range:
    ///
    /// ```compile_fail,E0599
    /// # async fn example(images: machine_images::djinn::Images) {
    /// images.save(42, "debian-12.qcow2").range(0..512);
    /// # }
    /// ```
    ///
    /// For many images, see [many images at once](super#many-images-at-once).
    #[doc(alias = "download")]
    #[doc(alias = "fetch")]
    #[doc(alias = "resume")]
    pub fn save(&self, id: impl Into<ImageId>, path: impl Into<PathBuf>) -> Save {
        Save {
            images: self.clone(),
            id: id.into(),
            path: path.into(),
            options: Options::default(),
        }
    }
}

/// A builder that saves an image to a file: see [`Images::save`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent unless this is awaited"]
pub struct Save {
    images: Images,
    id: ImageId,
    path: PathBuf,
    options: Options,
}

impl Save {
    /// Sets the maximum number of connections, at most 256. By default there are as many as make
    /// the transfer faster, up to 8.
    ///
    /// The first one asks for the whole image. Others are added for what is left of it: at once if a
    /// number is set here or a round trip takes more than 5 ms, or else as long as the rate grows by
    /// a tenth with them. Images of less than 8 MiB, and images of servers without ranges or dates,
    /// are fetched with one, and each connection has 2 MiB or more to fetch. If the server refuses a
    /// connection with 429 or 503, or one breaks and its retries do not help, the others take over
    /// its share: the call fails only with the last one.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let saved = images.save(42, "debian-12.qcow2").connections(1).await?;
    /// assert_eq!(saved.connections, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "parallel")]
    #[doc(alias = "concurrency")]
    pub fn connections(mut self, connections: usize) -> Self {
        self.options.connections = Some(connections.max(1));
        self
    }

    /// Fails with [`DigestMismatch`](crate::ErrorKind::DigestMismatch), and leaves nothing of the content, if it
    /// has another SHA-256. A file that was at the path stays.
    #[doc(alias = "checksum")]
    #[doc(alias = "verify")]
    pub fn sha256(mut self, digest: Digest) -> Self {
        self.options.sha256 = Some(digest);
        self
    }

    /// Computes the digest of the content, for [`Saved::sha256`]. Defaults to `false`. If a
    /// [digest](Self::sha256) is expected, it is computed in any case.
    pub fn compute_sha256(mut self, compute: bool) -> Self {
        self.options.digest = compute;
        self
    }

    /// Resumes the transfer of an earlier call, and keeps what a later one can resume. Defaults to
    /// `true`.
    pub fn resume(mut self, resume: bool) -> Self {
        self.options.resume = resume;
        self
    }

    /// Skips the transfer if the local file is up to date. Defaults to `false`.
    ///
    /// A file is up to date if its length is that of the image, and its time is the image's
    /// `Last-Modified`, to which an earlier `save` has set it. One request finds out: it asks for
    /// the last byte of the image, on condition (`If-Range`) that the image has not changed. If a
    /// digest is expected, the file is hashed, too, and fetched again if it differs. If the file is
    /// up to date, it is inspected like a new one, and [`Saved::unchanged`] is `true`.
    ///
    /// The file does not say which image it is from. Use one path for one id, or expect a digest: two
    /// images of the same length and the same second are taken for one.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let saved = images.save(42, "debian-12.qcow2").refresh(true).await?;
    /// if saved.unchanged {
    ///     println!("nothing new");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "mirror")]
    #[doc(alias = "cache")]
    #[doc(alias = "if-modified-since")]
    pub fn refresh(mut self, refresh: bool) -> Self {
        self.options.refresh = refresh;
        self
    }

    /// Sets the behavior when the same file is being saved already. Defaults to
    /// [`WhenBusy::Fail`].
    #[doc(alias = "lock")]
    pub fn when_busy(mut self, when_busy: WhenBusy) -> Self {
        self.options.when_busy = when_busy;
        self
    }

    /// Flushes the content to the disk before the file gets its name. Defaults to `true`. If
    /// `false`, a power failure can leave an incomplete file at the final path.
    #[doc(alias = "fsync")]
    pub fn durable(mut self, durable: bool) -> Self {
        self.options.durable = durable;
        self
    }

    /// Sets the policy that the image must meet. Defaults to [`Policy::default`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.options.policy = Some(policy);
        self
    }

    /// Saves any content, without inspecting it.
    pub fn unchecked(mut self) -> Self {
        self.options.policy = None;
        self
    }

    /// Reports progress to `listener`.
    pub fn progress(mut self, listener: impl ProgressListener) -> Self {
        self.options.meter = Meter::new(Phase::Content, listener);
        self
    }

    /// Fetches the content, and returns when the file has its name.
    ///
    /// # Errors
    ///
    /// - Those of [`GetContent::send`](super::GetContent::send) and of
    ///   [`Content`](crate::Content).
    /// - [`ImageRejected`](crate::ErrorKind::ImageRejected) if the policy rejects the image: see
    ///   [`inspection`](crate::Error::inspection).
    /// - [`Io`](crate::ErrorKind::Io) if the file cannot be written.
    /// - [`Busy`](crate::ErrorKind::Busy) if the file is being saved already, or if `PATH.part` was
    ///   removed or replaced during the call.
    /// - [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if the content has another digest.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the transfer. After that the file at the path is not replaced; a
    /// drop during the replacement waits for that one step. The next call resumes what was dropped,
    /// or killed, so on Ctrl-C a program can simply exit. With tokio's feature `signal`:
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// tokio::select! {
    ///     saved = images.save(42, "debian-12.qcow2").send() => println!("{} bytes", saved?.bytes),
    ///     _ = tokio::signal::ctrl_c() => std::process::exit(130), // the next run resumes
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send(self) -> Result<Saved> {
        let operation = Operation::new("save image");
        let operation = operation.on(format!("{} to {}", self.id, self.path.display()));
        let location = self.images.location(operation, self.id);
        save(location, self.path, self.options).await
    }
}

awaitable!(Save, send -> Saved);

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::content::Body;
    use crate::error::Error;
    use crate::file::{Sink, State, Subject};
    use crate::spans::Spans;
    use crate::testing::{DjinnServer, Fault};
    use crate::transfer::{Plan, Setup, Transfer};

    /// A disk that fails when it is synced.
    struct Failing;

    impl Sink for Failing {
        fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn read(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn failed(&self, what: &str, error: io::Error) -> Error {
            Error::io(format!("cannot {what} it"), error)
        }
    }

    #[tokio::test]
    async fn a_sync_that_fails_ends_a_fetch_before_all_has_come() {
        const MIB: u64 = 1 << 20;
        let server = DjinnServer::start().unwrap();
        let id = server.add_image("web", vec![1; 80 * MIB as usize]).unwrap();
        // What is synced is 64 MiB.
        server.inject(Fault::StallResponse {
            after: 70 * MIB,
            wait: Duration::from_secs(600),
        });
        let images = server.client().unwrap().images();
        let location = images.location(Operation::new("save"), id);
        let mut retries = location.transport.retry().start();
        let answer = location.get(&mut retries).await.unwrap();
        let version = answer.version.clone();
        let subject = Subject {
            url: "http://h/1".into(),
            length: 80 * MIB,
            validator: version.validator.clone().unwrap(),
            disk: None,
        };
        let setup = Setup {
            location: location.clone(),
            version,
            sink: Arc::new(Failing),
            connections: Some(1),
            is_durable: true,
            hashes: false,
            meter: Default::default(),
        };
        let transfer = Transfer::new(
            setup,
            Plan {
                ranges: VecDeque::from([(0, 80 * MIB)]),
                done: Spans::default(),
                state: Some(State::begin(subject, Box::new(tempfile::tempfile))),
                latency: Duration::ZERO,
            },
        );
        transfer.begin(&[]).unwrap();
        let body = Body::new(location, answer, None, retries, Default::default());

        let ended = tokio::time::timeout(Duration::from_secs(30), transfer.run(body)).await;

        let error = ended.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "cannot sync it");
        assert!(transfer.seen().fetched < 80 * MIB);
    }
}
