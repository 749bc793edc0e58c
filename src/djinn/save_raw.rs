//! The guest's disk of an image, in a file or on a device.

use std::path::PathBuf;

use super::{ImageId, Images};
use crate::call::awaitable;
use crate::digest::Digest;
use crate::error::Result;
use crate::operation::Operation;
use crate::progress::{Meter, Phase, ProgressListener};
use crate::qcow2::Policy;
use crate::save::{Options, Saved, WhenBusy, save_raw};

impl Images {
    /// Saves the guest's disk of an image as a raw disk, to a file or a block device.
    ///
    /// `Endpoint: GET /images/:id` with `Accept: application/x-qemu-disk` and `Range`
    ///
    /// The result is that of `qemu-img convert -O raw`, without a QCOW2 file on the way. The header
    /// and the tables are fetched first, then what they name, in the order of the file.
    /// Clusters are decompressed by as many threads as the machine has cores.
    ///
    /// A file is written as by [`save`](Self::save): beside `target` first, sparse, and resumed by
    /// the next call after a failure or a kill. A block device is written in place, and is not
    /// usable until the call succeeds; nothing is resumed. It must be at least as large as the disk,
    /// and not be in use. Where the image has no data, the device is asked to zero the range;
    /// if it cannot, zeros are written. A symbolic link to a device, such as those below
    /// `/dev/disk/by-id`, is followed: in a directory that others can write to, the `target` decides
    /// which device is overwritten.
    ///
    /// ```
    /// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
    /// let saved = images.save_raw(42, "debian-12.raw").await?;
    /// println!("a disk of {} bytes, of which {} came", saved.bytes, saved.fetched);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The server must send ranges, and a date or an entity tag, as Djinn CI servers do.
    ///
    /// Two kinds of valid images are rejected, which [`disk`](Self::disk) can read: those with data in
    /// more than 4,194,304 pieces, such as 256 GiB of compressed clusters of 64 KiB, and those with two
    /// clusters of the disk at the same place in the file, which no known program writes.
    #[doc(alias = "convert")]
    #[doc(alias = "flash")]
    pub fn save_raw(&self, id: impl Into<ImageId>, target: impl Into<PathBuf>) -> SaveRaw {
        SaveRaw {
            images: self.clone(),
            id: id.into(),
            target: target.into(),
            options: Options::default(),
        }
    }
}

/// A builder that saves the guest's disk of an image: see [`Images::save_raw`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent unless this is awaited"]
pub struct SaveRaw {
    images: Images,
    id: ImageId,
    target: PathBuf,
    options: Options,
}

impl SaveRaw {
    /// Sets the maximum number of connections, at most 256: see
    /// [`Save::connections`](super::Save::connections). With a [digest](Self::sha256) there is one.
    pub fn connections(mut self, connections: usize) -> Self {
        self.options.connections = Some(connections.max(1));
        self
    }

    /// Fails with [`DigestMismatch`](crate::ErrorKind::DigestMismatch), and leaves no file, if the
    /// QCOW2 file has another SHA-256.
    ///
    /// All of the file is fetched then, in order and on one connection, and nothing is resumed. A
    /// block device keeps what was written.
    #[doc(alias = "checksum")]
    pub fn sha256(mut self, digest: Digest) -> Self {
        self.options.sha256 = Some(digest);
        self
    }

    /// Resumes the transfer of an earlier call, and keeps what a later one can resume: the files
    /// `TARGET.part` and `TARGET.part.state`. Defaults to `true`.
    ///
    /// With `false` a failure leaves neither. A kill leaves the first, which the next call removes.
    /// With a [digest](Self::sha256) nothing is resumed.
    pub fn resume(mut self, resume: bool) -> Self {
        self.options.resume = resume;
        self
    }

    /// Sets the behavior when the same file is being saved already. Defaults to
    /// [`WhenBusy::Fail`].
    ///
    /// After a wait, the disk is fetched all the same. A block device that is in use is an error in
    /// any case.
    pub fn when_busy(mut self, when_busy: WhenBusy) -> Self {
        self.options.when_busy = when_busy;
        self
    }

    /// Flushes the disk before the file gets its name, or before the call returns. Defaults to
    /// `true`.
    #[doc(alias = "fsync")]
    pub fn durable(mut self, durable: bool) -> Self {
        self.options.durable = durable;
        self
    }

    /// Sets the policy that the image must meet: see
    /// [`OpenDisk::policy`](crate::disk::OpenDisk::policy).
    pub fn policy(mut self, policy: Policy) -> Self {
        self.options.policy = Some(policy);
        self
    }

    /// Reports progress to `listener`, in bytes of the QCOW2 file. Bytes that need not be
    /// fetched, such as ranges without guest data, count as resumed.
    pub fn progress(mut self, listener: impl ProgressListener) -> Self {
        self.options.meter = Meter::new(Phase::Content, listener);
        self
    }

    /// Fetches the disk. [`Saved::bytes`] is its size, [`Saved::sha256`] the digest of the QCOW2
    /// file, if one was expected.
    ///
    /// # Errors
    ///
    /// - Those of [`Save::send`](super::Save::send) and of [`Disk`](crate::disk::Disk).
    /// - [`Io`](crate::ErrorKind::Io) if a block device is too small or in use.
    ///
    /// # Cancel safety
    ///
    /// That of [`Save::send`](super::Save::send).
    pub async fn send(self) -> Result<Saved> {
        let operation = Operation::new("save disk of image");
        let operation = operation.on(format!("{} to {}", self.id, self.target.display()));
        let location = self.images.location(operation, self.id);
        save_raw(location, self.target, self.options).await
    }
}

awaitable!(SaveRaw, send -> Saved);
