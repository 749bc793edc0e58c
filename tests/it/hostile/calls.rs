//! Every operation, and whether what came of it is right.

use std::io::{self, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use machine_images::devops::NewImage;
use machine_images::djinn::Source;
use machine_images::{Error, devops, djinn};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::lies::Lie;

pub(super) const OPERATIONS: [&str; 29] = [
    "list",
    "list stream",
    "list pages",
    "list prefetch",
    "list consistent",
    "list namespace",
    "find",
    "find in namespace",
    "get",
    "check",
    "delete",
    "create download",
    "upload",
    "upload reconcile",
    "wait",
    "content whole",
    "content range",
    "bytes",
    "reader",
    "reader from end",
    "inspect",
    "save 1",
    "save 4",
    "save 4 inspected",
    "devops list",
    "devops get",
    "devops create",
    "devops update",
    "devops delete",
];

/// How a call ended: `ok`, the kind of an error, or what is wrong in capitals.
pub(super) type Outcome = Result<(), String>;

#[derive(Clone)]
pub(super) struct Calls {
    pub(super) djinn: djinn::Client,
    pub(super) devops: devops::Client,
    pub(super) disk: Arc<Vec<u8>>,
    pub(super) folder: std::path::PathBuf,
}

fn kind(error: Error) -> String {
    error.kind().to_string()
}

fn kind_of_io(error: io::Error) -> String {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    {
        Some(error) => error.kind().to_string(),
        None => format!("io {:?}", error.kind()),
    }
}

impl Calls {
    pub(super) async fn call(self, operation: &'static str, lie: Lie) -> Outcome {
        let images = self.djinn.images();
        match operation {
            "list" => images.list().page(1).send().await.map(drop),
            "list stream" => images
                .list()
                .stream()
                .try_collect::<Vec<_>>()
                .await
                .map(drop),
            "list pages" => images
                .list()
                .pages()
                .try_collect::<Vec<_>>()
                .await
                .map(drop),
            "list prefetch" => {
                let pages = images.list().prefetch(2).stream();
                pages.try_for_each(async |_| Ok(())).await
            }
            "list consistent" => {
                let all = images.list().consistent(3).stream();
                all.try_for_each(async |_| Ok(())).await
            }
            "list namespace" => {
                let lab = "lab@gordon.freeman".parse().unwrap();
                let list = images.list().namespace(lab);
                list.stream().try_collect::<Vec<_>>().await.map(drop)
            }
            "find" => images.find("disk").send().await.map(drop),
            "find in namespace" => {
                let find = images.find("disk").namespace("lab".parse().unwrap());
                find.send().await.map(drop)
            }
            "get" => return get(&images, &lie).await,
            "check" => self.djinn.check().await.map(drop),
            "delete" => images.delete(1).send().await.map(drop),
            "create download" => {
                let url = "http://h/disk.qcow2".parse().unwrap();
                images.create_download("fresh", url).send().await.map(drop)
            }
            "upload" => self.upload(&images).send().await.map(drop),
            "upload reconcile" => {
                let upload = self.upload(&images).reconcile(true);
                let upload = upload.reconcile_within(Duration::from_millis(200));
                upload.send().await.map(drop)
            }
            "wait" => {
                let wait = images
                    .wait_downloaded(2)
                    .timeout(Duration::from_millis(500));
                wait.send().await.map(drop)
            }
            "content whole" => {
                let mut chunks = images.content(1).await.map_err(kind)?;
                let mut all = Vec::new();
                while let Some(chunk) = chunks.next().await {
                    all.extend_from_slice(&chunk.map_err(kind)?);
                }
                return self.right(&all, 0, &lie);
            }
            "content range" => {
                let content = images.content(1).range(1000..900_000).send().await;
                let content = content.map_err(kind)?;
                let all = content.bytes().await.map_err(kind)?;
                return self.right(&all, 1000, &lie);
            }
            "bytes" => {
                let content = images.content(1).send().await.map_err(kind)?;
                return self.right(&content.bytes().await.map_err(kind)?, 0, &lie);
            }
            "reader" | "reader from end" => return self.read(operation, &lie).await,
            "inspect" => images.inspect(1).await.map(drop),
            "save 1" | "save 4" | "save 4 inspected" => return self.save(operation, &lie).await,
            _ => return self.devops(operation).await,
        }
        .map_err(kind)
    }

    fn upload(&self, images: &djinn::Images) -> djinn::CreateUpload {
        images.create_upload("fresh", Source::from(self.disk.to_vec()))
    }

    async fn read(&self, operation: &str, lie: &Lie) -> Outcome {
        let images = self.djinn.images();
        let mut reader = images.reader(1).read_ahead(300_000).cache(1 << 20);
        let mut start = 0;
        if operation == "reader from end" {
            start = reader
                .seek(SeekFrom::End(-100_000))
                .await
                .map_err(kind_of_io)?;
        }
        let mut all = Vec::new();
        // As much as there is, but no more than it takes to find out.
        let mut reader = reader.take(4 << 20);
        reader.read_to_end(&mut all).await.map_err(kind_of_io)?;
        self.right(&all, start as usize, lie)
    }

    async fn save(&self, operation: &str, lie: &Lie) -> Outcome {
        let images = self.djinn.images();
        let target = self.folder.join("disk");
        let mut request = images.save(1, &target).durable(false);
        if operation != "save 1" {
            request = request.connections(4);
        }
        if !operation.ends_with("inspected") {
            request = request.unchecked();
        }
        let saved = request.await;
        let found = std::fs::read(&target);
        for name in ["disk", "disk.part", "disk.part.state"] {
            let _ = std::fs::remove_file(self.folder.join(name));
        }
        saved.map_err(kind)?;
        self.right(&found.unwrap(), 0, lie)
    }

    async fn devops(&self, operation: &str) -> Outcome {
        let images = self.devops.images();
        match operation {
            "devops list" => images.list().await.map(drop),
            "devops get" => images.get("ami-1").send().await.map(drop),
            "devops create" => {
                let image = NewImage::new("ami-1", "ec2", "admin", "disk");
                images.create(image).send().await.map(drop)
            }
            "devops update" => images.update("ami-1").name("disk").send().await.map(drop),
            "devops delete" => images.delete("ami-1").send().await.map(drop),
            _ => return Err(format!("UNKNOWN OPERATION {operation}")),
        }
        .map_err(kind)
    }

    /// These are the image's bytes, and as many as there are, or as the server said.
    fn right(&self, bytes: &[u8], start: usize, lie: &Lie) -> Outcome {
        let said = lie.value.parse::<usize>().ok();
        let rest = self.disk.get(start..).unwrap_or_default();
        let wanted = if start == 1000 { 899_000 } else { rest.len() };
        let is_all = bytes.len() == wanted || said.is_some_and(|said| said == bytes.len());
        match rest.starts_with(bytes) && is_all {
            true => Ok(()),
            false => Err(format!("WRONG BYTES, {} of {wanted}", bytes.len())),
        }
    }
}

/// What was read is what was sent.
async fn get(images: &djinn::Images, lie: &Lie) -> Outcome {
    let id = if lie.field.starts_with("/download") {
        2
    } else {
        3
    };
    let image = images.get(id).send().await.map_err(kind)?;
    let said: Option<serde_json::Value> = serde_json::from_str(&lie.value).ok();
    let read = serde_json::to_value(&image).unwrap();
    match (said, read.pointer(lie.field)) {
        (Some(said), Some(read)) if said.is_i64() && *read != said => {
            Err(format!("WRONG VALUE {read}"))
        }
        _ => Ok(()),
    }
}
