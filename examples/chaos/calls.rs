//! Random calls, and whether they did what they promise.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use futures::TryStreamExt;
use machine_images::djinn::{ImageId, Source};
use machine_images::testing::Received;
use machine_images::{Digest, Error};

use super::run::{Setup, Site};

/// One call to be made.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    List,
    Get {
        id: ImageId,
    },
    Upload {
        name: String,
        reconcile: bool,
        /// Into the namespace that another user shares.
        shared: bool,
        /// Whether that one has an image of the name there, of the same length.
        taken: bool,
        /// Larger than what sockets hold.
        large: bool,
    },
    Download {
        name: String,
        reconcile: bool,
    },
    File {
        id: ImageId,
        large: bool,
        connections: usize,
        digest: bool,
        over: bool,
    },
    Stream {
        id: ImageId,
        large: bool,
    },
    Delete {
        id: ImageId,
    },
    /// From the server to its peer, or back.
    Copy {
        id: ImageId,
        name: String,
        back: bool,
        large: bool,
        digest: bool,
        reconcile: bool,
    },
}

pub(crate) enum Outcome {
    Done,
    /// A success that is none.
    Wrong(String),
    Failed(Error),
}

/// Another user, and a namespace of that one which the caller may use.
pub(crate) const OTHER: &str = "eli";
pub(crate) const SHARED: &str = "lab@eli";

/// For how long a lost upload is looked for: its quarter is longer than a copy takes.
const RECONCILE: Duration = Duration::from_millis(3000);

/// What is in a file that is to be replaced.
pub(crate) const OLD: &[u8] = b"an older image";

impl Call {
    pub(crate) fn random(rng: &mut Rng, setup: &Setup) -> io::Result<Self> {
        let name = format!("image-{:08x}", rng.u32(..));
        let large = rng.u8(..4) == 0;
        // Uploads have the most to lose.
        let kind = rng.u8(..16);
        if kind > 11 {
            let back = rng.bool();
            let source = setup.site(back);
            return Ok(Self::Copy {
                id: source.server.add_image(&name, setup.bytes(large))?,
                name,
                back,
                large,
                digest: rng.bool(),
                reconcile: rng.bool(),
            });
        }
        if matches!(kind, 0 | 9..) {
            let shared = rng.u8(..3) == 0;
            let taken = shared && rng.bool();
            if taken {
                let other = setup.server.new_image(&name).author(OTHER);
                let other = other.namespace(SHARED).content(b"QFI\xfb");
                other.length(setup.bytes(large).len() as u64).add()?;
            }
            return Ok(Self::Upload {
                name,
                reconcile: rng.bool(),
                shared,
                taken,
                large,
            });
        }
        if kind == 1 {
            return Ok(Self::Download {
                name,
                reconcile: rng.bool(),
            });
        }
        if kind == 2 {
            setup.server.add_images(rng.usize(..40))?;
            return Ok(Self::List);
        }
        let id = setup.server.add_image(&name, setup.bytes(large))?;
        Ok(match kind {
            3 => Self::Get { id },
            4 => Self::Delete { id },
            5 => Self::Stream { id, large },
            _ => Self::File {
                id,
                large,
                connections: if rng.bool() { 1 } else { 4 },
                digest: rng.bool(),
                over: rng.bool(),
            },
        })
    }

    /// Where in its bodies faults are worth having.
    pub(crate) fn length(&self, setup: &Setup) -> u64 {
        match self {
            Self::List | Self::Get { .. } | Self::Delete { .. } => 10_000,
            Self::File { large: true, .. }
            | Self::Stream { large: true, .. }
            | Self::Upload { large: true, .. }
            | Self::Copy { large: true, .. } => setup.content.large.len() as u64,
            _ => setup.content.small.len() as u64,
        }
    }

    pub(crate) fn is_creation(&self) -> bool {
        matches!(self, Self::Upload { .. } | Self::Download { .. }) || self.is_copy()
    }

    pub(crate) fn is_copy(&self) -> bool {
        matches!(self, Self::Copy { .. })
    }

    /// Whether a request of this or an earlier call asked for the image that this one makes.
    pub(crate) fn is_made_by(&self, request: &Received) -> bool {
        match self {
            Self::Upload { name, .. } | Self::Copy { name, .. } => request.target.contains(name),
            Self::Download { name, .. } => String::from_utf8_lossy(&request.body).contains(name),
            _ => false,
        }
    }

    pub(crate) fn is_reconciled(&self) -> bool {
        matches!(
            self,
            Self::Upload { reconcile, .. }
                | Self::Download { reconcile, .. }
                | Self::Copy { reconcile, .. }
                if *reconcile
        )
    }

    /// Whether the name is another user's, or a search that faults led astray found nothing of the
    /// first creation, and the second was refused.
    pub(crate) fn may_be_taken(&self) -> bool {
        match self {
            Self::Upload {
                reconcile, taken, ..
            } => *reconcile || *taken,
            Self::Download { reconcile, .. } => *reconcile,
            _ => false,
        }
    }

    pub(crate) fn has_digest(&self) -> bool {
        matches!(
            self,
            Self::File { digest: true, .. } | Self::Copy { digest: true, .. }
        )
    }

    pub(crate) async fn make(&self, setup: &Setup) -> Outcome {
        match self.attempt(setup).await {
            Ok(Ok(())) => Outcome::Done,
            Ok(Err(what)) => Outcome::Wrong(what),
            Err(error) => Outcome::Failed(error),
        }
    }

    async fn attempt(&self, setup: &Setup) -> Result<Result<(), String>, Error> {
        let images = &setup.images;
        let check = |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| what.to_owned());
        match self {
            Self::List => {
                let all: Vec<_> = images.list().stream().try_collect().await?;
                let ids: BTreeSet<_> = all.iter().map(|image| image.id).collect();
                let whole = ids.len() == all.len() && all.len() == setup.server.image_count();
                Ok(check(whole, "the list is not the images"))
            }
            Self::Get { id } => {
                let image = images.get(*id).await?;
                Ok(check(image.id == *id, "another image"))
            }
            Self::Upload {
                name,
                reconcile,
                shared,
                large,
                ..
            } => {
                let bytes = setup.bytes(*large);
                let source = Source::from(bytes.to_vec());
                let mut upload = images.create_upload(name, source);
                if *reconcile {
                    upload = upload.reconcile(true).reconcile_within(RECONCILE);
                }
                if *shared {
                    upload = upload.namespace(SHARED.parse()?);
                }
                let image = upload.await?;
                let same = setup.server.content(image.id.get()).as_deref() == Some(bytes);
                Ok(check(same, "the server has other bytes"))
            }
            Self::Download { name, reconcile } => {
                let Ok(url) = setup.server.publish(&setup.content.small) else {
                    return Ok(Err("nothing can be published".to_owned()));
                };
                let mut create = images.create_download(name, url);
                if *reconcile {
                    create = create.reconcile(true).reconcile_within(RECONCILE);
                }
                let image = create.await?;
                let wait = images.wait_downloaded(image.id);
                let image = wait.timeout(Duration::from_secs(10)).await?;
                let same =
                    setup.server.content(image.id.get()).as_ref() == Some(&setup.content.small);
                Ok(check(same, "the server has other bytes"))
            }
            Self::File {
                id,
                large,
                connections,
                digest,
                over,
            } => {
                let path = self.path(setup);
                if *over && std::fs::write(&path, OLD).is_err() {
                    return Ok(Err("no file can be written".to_owned()));
                }
                let mut content = images
                    .save(*id, &path)
                    .connections(*connections)
                    .durable(false);
                if *digest {
                    content = content.sha256(Digest::of(setup.bytes(*large)));
                }
                content.await?;
                let same = std::fs::read(&path).is_ok_and(|bytes| bytes == setup.bytes(*large));
                Ok(check(same, "the file has other bytes"))
            }
            Self::Stream { id, large } => {
                let mut left = setup.bytes(*large);
                let mut chunks = images.content(*id).await?;
                while let Some(chunk) = chunks.try_next().await? {
                    match left.strip_prefix(&*chunk) {
                        Some(rest) => left = rest,
                        None => return Ok(Err("other bytes came".to_owned())),
                    }
                }
                Ok(check(left.is_empty(), "the stream ended early"))
            }
            Self::Copy {
                id,
                name,
                back,
                large,
                digest,
                reconcile,
            } => {
                let (source, target) = (setup.site(*back), setup.site(!*back));
                let bytes = setup.bytes(*large);
                let mut copy = source.images.copy(*id).to(target.images).name(name);
                if *digest {
                    copy = copy.sha256(Digest::of(bytes));
                }
                if *reconcile {
                    copy = copy.reconcile(true).reconcile_within(RECONCILE);
                }
                let copied = copy.await?;
                let found = target.server.content(copied.image.id.get());
                let found = found.unwrap_or_default();
                if copied.sha256 != Digest::of(&found) || copied.bytes != found.len() as u64 {
                    return Ok(Err("the digest is that of other bytes".to_owned()));
                }
                Ok(check(found == bytes, "the target has other bytes"))
            }
            Self::Delete { id } => {
                images.delete(*id).await?;
                Ok(check(
                    setup.server.content(*id).is_none(),
                    "the image is there",
                ))
            }
        }
    }

    pub(crate) fn path(&self, setup: &Setup) -> PathBuf {
        let id = match self {
            Self::File { id, .. } => *id,
            _ => ImageId::from(0),
        };
        setup.directory.path().join(format!("{id}.qcow2"))
    }
}

impl Setup {
    /// The server, or its peer.
    pub(crate) fn site(&self, peer: bool) -> Site<'_> {
        match peer {
            false => Site {
                server: &self.server,
                images: &self.images,
                afterwards: &self.afterwards,
            },
            true => Site {
                server: &self.peer,
                images: &self.peer_images,
                afterwards: &self.peer_afterwards,
            },
        }
    }

    pub(crate) fn bytes(&self, large: bool) -> &[u8] {
        match large {
            true => &self.content.large,
            false => &self.content.small,
        }
    }
}
