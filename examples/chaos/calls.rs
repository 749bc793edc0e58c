//! Random calls, and whether they did what they promise.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use futures::TryStreamExt;
use machine_images::djinn::Source;
use machine_images::testing::Received;
use machine_images::{Digest, Error};

use super::run::Setup;

/// One call to be made.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    List,
    Get {
        id: i64,
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
    },
    File {
        id: i64,
        large: bool,
        connections: usize,
        digest: bool,
        over: bool,
    },
    Stream {
        id: i64,
        large: bool,
    },
    Delete {
        id: i64,
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
const OLD: &[u8] = b"an older image";

impl Call {
    pub(crate) fn random(rng: &mut Rng, setup: &Setup) -> io::Result<Self> {
        let name = format!("image-{:08x}", rng.u32(..));
        let large = rng.u8(..4) == 0;
        // Uploads have the most to lose.
        let kind = rng.u8(..12);
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
            return Ok(Self::Download { name });
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
            | Self::Upload { large: true, .. } => setup.content.large.len() as u64,
            _ => setup.content.small.len() as u64,
        }
    }

    pub(crate) fn is_creation(&self) -> bool {
        matches!(self, Self::Upload { .. } | Self::Download { .. })
    }

    /// Whether a request of this or an earlier call asked for the image that this one makes.
    pub(crate) fn is_made_by(&self, request: &Received) -> bool {
        match self {
            Self::Upload { name, .. } => request.target.contains(name),
            Self::Download { name } => String::from_utf8_lossy(&request.body).contains(name),
            _ => false,
        }
    }

    pub(crate) fn is_reconciled(&self) -> bool {
        matches!(self, Self::Upload { reconcile, .. } if *reconcile)
    }

    /// Whether the name is another user's, or a search that faults led astray found nothing of the
    /// first upload, and the second was refused.
    pub(crate) fn may_be_taken(&self) -> bool {
        self.is_reconciled() || matches!(self, Self::Upload { taken: true, .. })
    }

    pub(crate) fn has_digest(&self) -> bool {
        matches!(self, Self::File { digest: true, .. })
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
                Ok(check(image.id.get() == *id, "another image"))
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
            Self::Download { name } => {
                let Ok(url) = setup.server.publish(&setup.content.small) else {
                    return Ok(Err("nothing can be published".to_owned()));
                };
                let image = images.create_download(name, url).await?;
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
            Self::Delete { id } => {
                images.delete(*id).await?;
                Ok(check(
                    setup.server.content(*id).is_none(),
                    "the image is there",
                ))
            }
        }
    }

    /// What must hold when all faults are over, whatever came of the call.
    pub(crate) async fn violations(&self, setup: &Setup, succeeded: bool) -> Vec<String> {
        match self {
            Self::File {
                id, large, over, ..
            } => {
                let mut violations = Vec::new();
                let found = std::fs::read(self.path(setup)).ok();
                if !succeeded && found.as_deref() != over.then_some(OLD) {
                    violations.push("a failure changed the file".to_owned());
                }
                violations.extend(self.saved_violations(setup, *id, *large).await);
                violations
            }
            Self::Upload {
                name,
                shared,
                taken,
                large,
                ..
            } => {
                let foreign = usize::from(*taken);
                self.created_violations(setup, name, *shared, foreign, setup.bytes(*large))
                    .await
            }
            Self::Download { name } => {
                self.created_violations(setup, name, false, 0, &setup.content.small)
                    .await
            }
            _ => Vec::new(),
        }
    }

    /// Of a creation there is one image or none, and it is whole; another user's stays.
    async fn created_violations(
        &self,
        setup: &Setup,
        name: &str,
        shared: bool,
        foreign: usize,
        bytes: &[u8],
    ) -> Vec<String> {
        let list = setup.afterwards.list().search(name);
        let all = list.stream().try_collect::<Vec<_>>().await;
        let all = match all {
            Ok(all) => all,
            Err(error) => return vec![format!("no list afterwards: {error:?}")],
        };
        let named = all.iter().filter(|image| image.name == name);
        let (others, mine): (Vec<_>, Vec<_>) = named.partition(|image| {
            let author = image.author.as_ref();
            author.is_some_and(|author| author.username == OTHER)
        });
        let mut violations = Vec::new();
        if let [image, ..] = mine[..] {
            let found = setup.server.content(image.id.get());
            if image.download.is_none() && found.as_deref() != Some(bytes) {
                violations.push("a part of an upload became an image".to_owned());
            }
            if image.namespace_id.is_some() != shared {
                violations.push("the image is in another place".to_owned());
            }
        }
        if mine.len() + foreign > 1 {
            violations.push("there is a second image of the name".to_owned());
        }
        if others.len() != foreign {
            violations.push("another user's image is gone".to_owned());
        }
        violations
    }

    /// Another fetch makes the file whole, and leaves nothing beside it.
    async fn saved_violations(&self, setup: &Setup, id: i64, large: bool) -> Vec<String> {
        let (path, bytes) = (self.path(setup), setup.bytes(large));
        let mut violations = Vec::new();
        let digest = Digest::of(bytes);
        let again = setup.afterwards.save(id, &path).durable(false);
        match again.clone().await {
            Err(error) => violations.push(format!("it cannot be fetched afterwards: {error:?}")),
            Ok(_) if std::fs::read(&path).is_ok_and(|found| found == bytes) => {}
            Ok(_) => match again.sha256(digest).await {
                Ok(_) => violations.push("it had other bytes once more".to_owned()),
                Err(error) => violations.push(format!("it is spoilt: {error:?}")),
            },
        }
        let left = std::fs::read_dir(setup.directory.path());
        let strange = left.into_iter().flatten().flatten().filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(&format!("{id}.")) && !name.ends_with(".qcow2")
        });
        violations.extend(strange.map(|entry| format!("{:?} is left", entry.file_name())));
        violations
    }

    fn path(&self, setup: &Setup) -> PathBuf {
        let id = match self {
            Self::File { id, .. } => *id,
            _ => 0,
        };
        setup.directory.path().join(format!("{id}.qcow2"))
    }
}

impl Setup {
    pub(crate) fn bytes(&self, large: bool) -> &[u8] {
        match large {
            true => &self.content.large,
            false => &self.content.small,
        }
    }
}
