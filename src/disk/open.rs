//! The opening of a disk.

#[cfg(feature = "fs")]
use std::{path::PathBuf, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::file::ImageFile;
#[cfg(feature = "fs")]
use super::file::local_operation;
use super::guest::{Guest, rejected};
use super::reader::Disk;
use crate::call::awaitable;
use crate::content::Location;
use crate::error::{Error, ErrorKind, Result};
use crate::inspect::accept;
#[cfg(feature = "fs")]
use crate::join::lost;
use crate::qcow2::{Geometry, Map, Policy, Report};

#[cfg(feature = "fs")]
impl Disk {
    /// Opens a local QCOW2 file.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> machine_images::Result<()> {
    /// # let path = "tests/data/disk.qcow2";
    /// use machine_images::disk::Disk;
    /// use tokio::io::{AsyncReadExt, AsyncSeekExt};
    ///
    /// let mut disk = Disk::open(path).await?;
    /// let mut block = Vec::new();
    /// disk.seek(std::io::SeekFrom::Start(1 << 20)).await.unwrap();
    /// disk.take(4096).read_to_end(&mut block).await.unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(path: impl Into<PathBuf>) -> OpenDisk {
        OpenDisk::file(path.into())
    }
}

/// A builder that opens the guest's disk of an image: see
/// [`Images::disk`](crate::djinn::Images::disk) and [`Disk::open`].
#[derive(Clone)]
#[must_use = "nothing is read unless this is awaited"]
pub struct OpenDisk {
    place: Place,
    policy: Policy,
    snapshot: Option<String>,
}

#[derive(Clone)]
enum Place {
    Remote(Location),
    #[cfg(feature = "fs")]
    Local(PathBuf),
}

impl OpenDisk {
    pub(crate) fn remote(location: Location) -> Self {
        Self::new(Place::Remote(location))
    }

    #[cfg(feature = "fs")]
    pub(super) fn file(path: PathBuf) -> Self {
        Self::new(Place::Local(path))
    }

    fn new(place: Place) -> Self {
        Self {
            place,
            policy: Policy::default(),
            snapshot: None,
        }
    }

    /// Sets the policy that the image must meet. Defaults to [`Policy::default`]. Images whose disk
    /// cannot be read, such as those with a backing file or encryption, are rejected under any: see
    /// [`Geometry::new`](crate::qcow2::Geometry::new).
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Opens the disk as it was when an internal snapshot was made: the one with this ID, or else
    /// with this name.
    pub fn snapshot(mut self, snapshot: impl Into<String>) -> Self {
        self.snapshot = Some(snapshot.into());
        self
    }

    /// Reads the header and the L1 table, and returns the disk.
    ///
    /// # Errors
    ///
    /// - Those of [`GetContent::send`](crate::djinn::GetContent::send) for an image on a server,
    ///   and [`Range`](ErrorKind::Range) if it sends no ranges.
    /// - [`ImageRejected`](ErrorKind::ImageRejected) if the policy rejects the image, or its disk
    ///   cannot be read without another file or a key.
    /// - [`Length`](ErrorKind::Length) if the server does not say how long the image is.
    /// - [`InvalidInput`](ErrorKind::InvalidInput) if there is no such snapshot.
    /// - [`Io`](ErrorKind::Io) if a local file cannot be read.
    pub async fn send(self) -> Result<Disk> {
        let operation = match &self.place {
            Place::Remote(location) => location.operation.clone(),
            #[cfg(feature = "fs")]
            Place::Local(path) => local_operation(path),
        };
        operation.run(self.opened()).await.map(Disk::new)
    }

    pub(crate) async fn opened(self) -> Result<Guest> {
        let first = self.place.clone().first(&self.policy).await?;
        accept(first.report.clone())?;
        match Geometry::new(&first.report, first.length) {
            Ok(geometry) => self.guest(first, geometry).await,
            Err(finding) => Err(rejected(&first.report, finding)),
        }
    }

    /// Returns the report, and the disk if it can be read, whatever the policy says.
    pub(super) async fn tried(self) -> Result<(Report, Option<Guest>)> {
        let first = self.place.clone().first(&self.policy).await?;
        let report = first.report.clone();
        Ok(match Geometry::new(&report, first.length) {
            Ok(geometry) => (report, Some(self.guest(first, geometry).await?)),
            Err(_) => (report, None),
        })
    }

    async fn guest(self, first: First, mut geometry: Geometry) -> Result<Guest> {
        let First {
            report, file, held, ..
        } = first;
        let refuse = |finding| rejected(&report, finding);
        if let Some(wanted) = &self.snapshot {
            let by_id = report.snapshots.iter().find(|found| found.id == *wanted);
            let by_name = || report.snapshots.iter().find(|found| found.name == *wanted);
            let Some(snapshot) = by_id.or_else(by_name) else {
                return Err(Error::invalid(format!("there is no snapshot {wanted:?}")));
            };
            geometry = geometry.snapshot(snapshot).map_err(refuse)?;
        }
        let table = geometry.l1_table();
        let [start, end] =
            [table.start, table.end].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        let table = match held.get(start..end) {
            Some(held) => Bytes::copy_from_slice(held),
            None => file.read(table).await?,
        };
        let map = Map::new(geometry, &table);
        Ok(Guest::new(file, report, map))
    }
}

/// The result of a first look at an image.
struct First {
    report: Report,
    file: ImageFile,
    length: u64,
    /// The bytes read so far, from the start on.
    held: BytesMut,
}

impl Place {
    /// Inspects the image.
    async fn first(self, policy: &Policy) -> Result<First> {
        match self {
            Self::Remote(location) => {
                let (report, version, held) = location.clone().inspect_first(policy).await?;
                let Some(length) = version.total else {
                    let message = "the server does not say how long the image is";
                    return Err(Error::plain(ErrorKind::Length, message));
                };
                let file = ImageFile::Remote { location, version };
                Ok(First {
                    report,
                    file,
                    length,
                    held,
                })
            }
            #[cfg(feature = "fs")]
            Self::Local(path) => {
                let policy = policy.clone();
                let opened = tokio::task::spawn_blocking(move || {
                    let opened = crate::file::open_with_length(&path).and_then(|(file, length)| {
                        let report = crate::inspect::inspect_open_file(&file, &policy)?;
                        Ok((report, file, length))
                    });
                    let failed = |error| Error::io("cannot read the file", error);
                    let (report, file, length) = opened.map_err(failed)?;
                    let file = Arc::new(file);
                    let file = ImageFile::Local { file, path };
                    Ok(First {
                        report,
                        file,
                        length,
                        held: BytesMut::new(),
                    })
                });
                opened.await.map_err(lost)?
            }
        }
    }
}

impl std::fmt::Debug for OpenDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenDisk")
            .field("policy", &self.policy)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}

awaitable!(OpenDisk, send -> Disk);
