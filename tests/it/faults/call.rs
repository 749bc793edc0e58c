//! The calls that faults befall, and whether they did what they promise.

use std::path::PathBuf;
use std::sync::Mutex;

use futures::TryStreamExt;
use machine_images::disk::Disk;
use machine_images::djinn::{ImageId, Images, Source};
use machine_images::testing::DjinnServer;
use machine_images::{Result, Side};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

const DISK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/disk.qcow2");

#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    /// Over two pages.
    List,
    Get,
    Upload,
    Download,
    File,
    /// To a file with several connections, which asks for ranges.
    Ranges,
    /// To a file, after a look at the image's header.
    Checked,
    /// The guest's disk to a file.
    Raw,
    Stream,
    /// A part of the contents, as a stream.
    Range,
    /// To another server, and from one.
    CopyFrom,
    CopyTo,
    Delete,
}

impl Call {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "list" => Self::List,
            "get" => Self::Get,
            "upload" => Self::Upload,
            "download" => Self::Download,
            "file, checked" => Self::Checked,
            "save_raw" => Self::Raw,
            "file" => Self::File,
            "file, in ranges" => Self::Ranges,
            "stream" => Self::Stream,
            "range" => Self::Range,
            "copy, source" => Self::CopyFrom,
            "copy, target" => Self::CopyTo,
            "delete" => Self::Delete,
            _ => panic!("{name} is no call"),
        }
    }
}

/// How many images there are: two pages of them.
const COUNT: usize = 30;

/// A server with an image and a second page of others, its client, and a place for files.
pub(super) struct Scene {
    images: Images,
    pub(super) server: DjinnServer,
    pub(super) image: ImageId,
    disk: Vec<u8>,
    directory: TempDir,
    /// The other server of a copy, which has no faults, and its image.
    peer: DjinnServer,
    peer_images: Images,
    peer_image: ImageId,
}

/// Scenes that are as they were at first: making one takes longer than most calls.
static IDLE: Mutex<Vec<Scene>> = Mutex::new(Vec::new());

impl Scene {
    pub(super) fn take() -> Self {
        let idle = IDLE.lock().unwrap().pop();
        idle.unwrap_or_else(|| {
            let server = DjinnServer::start().unwrap();
            server.add_images(COUNT - 1).unwrap();
            let disk = std::fs::read(DISK).unwrap();
            let peer = DjinnServer::start().unwrap();
            Self {
                images: super::client(&server, super::DELAY),
                image: server.add_image("disk", &disk).unwrap(),
                server,
                directory: tempfile::tempdir().unwrap(),
                peer_images: super::client(&peer, super::DELAY),
                peer_image: peer.add_image("disk", &disk).unwrap(),
                peer,
                disk,
            }
        })
    }

    /// For a server that is away for a moment. This scene is not given back.
    pub(super) fn wait_longer(&mut self) {
        self.images = super::client(&self.server, super::LONGER_DELAY);
    }

    pub(super) async fn give_back(mut self) {
        self.server.clear_faults();
        if self.server.image_count() > COUNT {
            let all = self.images.list().stream();
            let all: Vec<_> = all.try_collect().await.unwrap();
            for image in all.iter().filter(|image| image.name == "new") {
                self.images.delete(image.id).send().await.unwrap();
            }
        }
        if let Some(copy) = self.peer_images.find("new").await.unwrap() {
            self.peer_images.delete(copy.id).await.unwrap();
        }
        if self.server.content(self.image).is_none() {
            self.image = self.server.add_image("disk", &self.disk).unwrap();
        }
        self.directory = tempfile::tempdir().unwrap();
        self.server.clear_requests();
        IDLE.lock().unwrap().push(self);
    }

    /// `ok`, `wrong` for a success that is none, or the kind of the error.
    pub(super) async fn run(&self, call: Call) -> String {
        let outcome = match call {
            Call::List => self.list().await,
            Call::Get => self.get().await,
            Call::Upload => self.upload().await,
            Call::Download => self.download().await,
            Call::File => self.file(1, false).await,
            Call::Ranges => self.file(4, false).await,
            Call::Checked => self.file(1, true).await,
            Call::Raw => self.raw().await,
            Call::Stream => self.stream().await,
            Call::Range => self.range().await,
            Call::CopyFrom => self.copy_from().await,
            Call::CopyTo => self.copy_to().await,
            Call::Delete => self.delete().await,
        };
        match outcome {
            Ok(true) => "ok".to_owned(),
            Ok(false) => "wrong".to_owned(),
            Err(error) => error.kind().to_string(),
        }
    }

    async fn list(&self) -> Result<bool> {
        let all = self.images.list().stream();
        let names: Vec<String> = all.map_ok(|image| image.name).try_collect().await?;
        Ok(names.len() == COUNT && names.iter().any(|name| name == "disk"))
    }

    async fn get(&self) -> Result<bool> {
        Ok(self.images.get(self.image).send().await?.name == "disk")
    }

    async fn upload(&self) -> Result<bool> {
        let upload = self.images.create_upload("new", Source::file(DISK));
        let created = upload.send().await;
        assert!(self.server.image_count() <= COUNT + 1, "a second image");
        let id = created?.id.get();
        Ok(self.server.content(id).as_ref() == Some(&self.disk))
    }

    async fn download(&self) -> Result<bool> {
        let url = self.server.publish(&self.disk).unwrap();
        let created = self.images.create_download("new", url).send().await;
        assert!(self.server.image_count() <= COUNT + 1, "a second image");
        Ok(created?.name == "new")
    }

    async fn file(&self, connections: usize, checked: bool) -> Result<bool> {
        let path: PathBuf = self.directory.path().join("disk.qcow2");
        let mut content = self.images.save(self.image, &path).connections(connections);
        if !checked {
            content = content.unchecked();
        }
        let saved = content.durable(false).await;
        if saved.is_err() {
            assert!(!path.exists(), "a file after {saved:?}");
        }
        saved?;
        let left = std::fs::read_dir(self.directory.path()).unwrap().count();
        Ok(left == 1 && std::fs::read(path).unwrap() == self.disk)
    }

    async fn raw(&self) -> Result<bool> {
        let path = self.directory.path().join("disk.raw");
        let saved = self
            .images
            .save_raw(self.image, &path)
            .connections(1)
            .durable(false)
            .await;
        if saved.is_err() {
            assert!(!path.exists(), "a file after {saved:?}");
        }
        saved?;
        let left = std::fs::read_dir(self.directory.path()).unwrap().count();
        let mut guest = Vec::new();
        Disk::open(DISK)
            .await?
            .read_to_end(&mut guest)
            .await
            .unwrap();
        Ok(left == 1 && std::fs::read(path).unwrap() == guest)
    }

    async fn stream(&self) -> Result<bool> {
        let mut read = Vec::new();
        let mut chunks = self.images.content(self.image).await?;
        while let Some(chunk) = chunks.try_next().await? {
            read.extend_from_slice(&chunk);
        }
        Ok(read == self.disk)
    }

    async fn range(&self) -> Result<bool> {
        let content = self
            .images
            .content(self.image)
            .range(10..200_000)
            .send()
            .await?;
        Ok(content.bytes().await? == self.disk[10..200_000])
    }

    async fn copy_from(&self) -> Result<bool> {
        let copy = self.images.copy(self.image).to(&self.peer_images);
        let copied = copy.name("new").await;
        if let Err(error) = &copied {
            assert_eq!(error.side(), Some(Side::Source), "{error:?}");
            assert_eq!(self.peer.image_count(), 1, "an image after {error:?}");
        }
        let id = copied?.image.id.get();
        Ok(self.peer.content(id).as_ref() == Some(&self.disk))
    }

    async fn copy_to(&self) -> Result<bool> {
        let copy = self.peer_images.copy(self.peer_image).to(&self.images);
        let copied = copy.name("new").await;
        if let Err(error) = &copied {
            assert_eq!(error.side(), Some(Side::Target), "{error:?}");
        }
        assert!(self.server.image_count() <= COUNT + 1, "a second image");
        let id = copied?.image.id.get();
        Ok(self.server.content(id).as_ref() == Some(&self.disk))
    }

    async fn delete(&self) -> Result<bool> {
        self.images.delete(self.image).send().await?;
        Ok(self.server.image_count() == COUNT - 1)
    }
}
