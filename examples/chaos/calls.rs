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
use sha2::{Digest as _, Sha256};

use super::run::Scene;

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

/// What is in a file that is to be replaced.
const OLD: &[u8] = b"an older image";

impl Call {
    pub(crate) fn any(rng: &mut Rng, scene: &Scene) -> io::Result<Self> {
        let name = format!("image-{:08x}", rng.u32(..));
        let large = rng.u8(..4) == 0;
        let kind = rng.u8(..9);
        if kind == 0 {
            let reconcile = rng.u8(..4) == 0;
            return Ok(Self::Upload { name, reconcile });
        }
        if kind == 1 {
            return Ok(Self::Download { name });
        }
        if kind == 2 {
            scene.server.add_images(rng.usize(..40))?;
            return Ok(Self::List);
        }
        let id = scene.server.add_image(&name, scene.bytes(large))?;
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
    pub(crate) fn length(&self, scene: &Scene) -> u64 {
        match self {
            Self::List | Self::Get { .. } | Self::Delete { .. } => 10_000,
            Self::File { large: true, .. } | Self::Stream { large: true, .. } => {
                scene.world.large.len() as u64
            }
            _ => scene.world.small.len() as u64,
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

    pub(crate) fn has_digest(&self) -> bool {
        matches!(self, Self::File { digest: true, .. })
    }

    pub(crate) async fn make(&self, scene: &Scene) -> Outcome {
        match self.attempt(scene).await {
            Ok(Ok(())) => Outcome::Done,
            Ok(Err(what)) => Outcome::Wrong(what),
            Err(error) => Outcome::Failed(error),
        }
    }

    async fn attempt(&self, scene: &Scene) -> Result<Result<(), String>, Error> {
        let images = &scene.images;
        let check = |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| what.to_owned());
        match self {
            Self::List => {
                let all: Vec<_> = images.list().stream().try_collect().await?;
                let ids: BTreeSet<_> = all.iter().map(|image| image.id).collect();
                let whole = ids.len() == all.len() && all.len() == scene.server.image_count();
                Ok(check(whole, "the list is not the images"))
            }
            Self::Get { id } => {
                let image = images.get(*id).send().await?;
                Ok(check(image.id.0 == *id, "another image"))
            }
            Self::Upload { name, reconcile } => {
                let source = Source::from(scene.world.small.clone());
                let upload = images.create_upload(name, source).reconcile(*reconcile);
                let image = upload.send().await?;
                let same = scene.server.content(image.id.0).as_ref() == Some(&scene.world.small);
                Ok(check(same, "the server has other bytes"))
            }
            Self::Download { name } => {
                let Ok(url) = scene.server.publish(&scene.world.small) else {
                    return Ok(Err("nothing can be published".to_owned()));
                };
                let image = images.create_download(name, url).send().await?;
                let wait = images.wait_downloaded(image.id);
                let image = wait.timeout(Duration::from_secs(10)).send().await?;
                let same = scene.server.content(image.id.0).as_ref() == Some(&scene.world.small);
                Ok(check(same, "the server has other bytes"))
            }
            Self::File {
                id,
                large,
                connections,
                digest,
                over,
            } => {
                let path = self.path(scene);
                if *over && std::fs::write(&path, OLD).is_err() {
                    return Ok(Err("no file can be written".to_owned()));
                }
                let mut content = images.content(*id).connections(*connections).durable(false);
                if *digest {
                    content = content.sha256(Digest(Sha256::digest(scene.bytes(*large)).into()));
                }
                content.save_to(&path).await?;
                let same = std::fs::read(&path).is_ok_and(|bytes| bytes == scene.bytes(*large));
                Ok(check(same, "the file has other bytes"))
            }
            Self::Stream { id, large } => {
                let mut left = scene.bytes(*large);
                let mut chunks = images.content(*id).send().await?.stream();
                while let Some(chunk) = chunks.try_next().await? {
                    match left.strip_prefix(&*chunk) {
                        Some(rest) => left = rest,
                        None => return Ok(Err("other bytes came".to_owned())),
                    }
                }
                Ok(check(left.is_empty(), "the stream ended early"))
            }
            Self::Delete { id } => {
                images.delete(*id).send().await?;
                Ok(check(
                    scene.server.content(*id).is_none(),
                    "the image is there",
                ))
            }
        }
    }

    /// What must hold when all faults are over, whatever came of the call.
    pub(crate) async fn aftermath(&self, scene: &Scene, succeeded: bool) -> Vec<String> {
        match self {
            Self::File {
                id, large, over, ..
            } => {
                let mut broken = Vec::new();
                let found = std::fs::read(self.path(scene)).ok();
                if !succeeded && found.as_deref() != over.then_some(OLD) {
                    broken.push("a failure changed the file".to_owned());
                }
                broken.extend(self.saved(scene, *id, *large).await);
                broken
            }
            Self::Upload { name, .. } | Self::Download { name } => {
                let all = scene.images.list().stream().try_collect::<Vec<_>>().await;
                let all = match all {
                    Ok(all) => all,
                    Err(error) => return vec![format!("no list afterwards: {error:?}")],
                };
                let mut broken = Vec::new();
                let mut named = all.iter().filter(|image| image.name == *name);
                if let Some(image) = named.next().filter(|image| image.download.is_none()) {
                    let bytes = scene.server.content(image.id.0);
                    if bytes.as_ref() != Some(&scene.world.small) {
                        broken.push("a part of an upload became an image".to_owned());
                    }
                }
                if named.next().is_some() {
                    broken.push("there is a second image of the name".to_owned());
                }
                broken
            }
            _ => Vec::new(),
        }
    }

    /// Another fetch makes the file whole, and leaves nothing beside it.
    async fn saved(&self, scene: &Scene, id: i64, large: bool) -> Vec<String> {
        let (path, bytes) = (self.path(scene), scene.bytes(large));
        let mut broken = Vec::new();
        let digest = Digest(Sha256::digest(bytes).into());
        let again = scene.images.content(id).durable(false);
        match again.clone().save_to(&path).await {
            Err(error) => broken.push(format!("it cannot be fetched afterwards: {error:?}")),
            Ok(_) if std::fs::read(&path).is_ok_and(|found| found == bytes) => {}
            Ok(_) => match again.sha256(digest).save_to(&path).await {
                Ok(_) => broken.push("it had other bytes once more".to_owned()),
                Err(error) => broken.push(format!("it is spoilt: {error:?}")),
            },
        }
        let left = std::fs::read_dir(scene.directory.path());
        let strange = left.into_iter().flatten().flatten().filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(&format!("{id}.")) && !name.ends_with(".qcow2")
        });
        broken.extend(strange.map(|entry| format!("{:?} is left", entry.file_name())));
        broken
    }

    fn path(&self, scene: &Scene) -> PathBuf {
        let id = match self {
            Self::File { id, .. } => *id,
            _ => 0,
        };
        scene.directory.path().join(format!("{id}.qcow2"))
    }
}

impl Scene {
    pub(crate) fn bytes(&self, large: bool) -> &[u8] {
        match large {
            true => &self.world.large,
            false => &self.world.small,
        }
    }
}
