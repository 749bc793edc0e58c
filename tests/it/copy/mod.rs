//! Copies from one server to another, or on one.

mod pace;
mod source;
mod target;

use std::time::Duration;

use machine_images::djinn::{Client, CopyImage, ImageId, Images, Visibility};
use machine_images::testing::{Close, DjinnServer, Fault, FaultRule};
use machine_images::{ClientBuilder, Digest, Error, ErrorKind, Result, RetryPolicy, Side};

use crate::end_to_end::without_certificates;
use crate::support::QEMU_DISK;

const DISK: &[u8] = include_bytes!("../../data/disk.qcow2");

const READER: &str = "5ac3b1d0e9f84276a1b2c3d4e5f60718";
const WRITER: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

const ALL: [&str; 3] = ["image:read", "image:write", "namespace:read"];

/// Two servers with tokens of their own, and an image on the first.
struct Site {
    source: DjinnServer,
    target: DjinnServer,
    from: Images,
    to: Images,
    id: ImageId,
    bytes: Vec<u8>,
}

fn server(token: &str) -> DjinnServer {
    let server = DjinnServer::builder().scoped_token(token, &ALL);
    server.start().unwrap()
}

fn client(server: &DjinnServer, token: &str) -> ClientBuilder<Client> {
    let policy = RetryPolicy::default()
        .retries(3)
        .first_delay(Duration::from_millis(1))
        .max_delay(Duration::from_millis(2));
    Client::builder(server.url())
        .reqwest_builder(without_certificates)
        .token(token)
        .retry(policy)
}

/// A real image with many different bytes behind it.
fn large(length: usize) -> Vec<u8> {
    let mut bytes = DISK.to_vec();
    bytes.extend((bytes.len()..length).map(|at| (at / 999) as u8));
    bytes
}

impl Site {
    fn new(bytes: Vec<u8>) -> Self {
        let (source, target) = (server(READER), server(WRITER));
        let images = |server, token| client(server, token).build().unwrap().images();
        Self {
            from: images(&source, READER),
            to: images(&target, WRITER),
            id: source.add_image("debian", &bytes).unwrap(),
            source,
            target,
            bytes,
        }
    }

    fn copy(&self) -> CopyImage {
        self.from.copy(self.id).to(&self.to)
    }

    /// Checks what must hold whatever came of the copies.
    #[track_caller]
    fn check_requests(&self) {
        for (server, own) in [(&self.source, READER), (&self.target, WRITER)] {
            for request in server.requests() {
                let authorization = format!("Bearer {own}");
                assert_eq!(request.header("authorization"), Some(&*authorization));
                let other = [READER, WRITER].into_iter().find(|token| *token != own);
                assert!(!format!("{request:?}").contains(other.unwrap()));
            }
        }
        let mut methods = self.source.requests().into_iter();
        assert!(methods.all(|request| request.method == "GET"));
    }

    #[track_caller]
    fn check_failure(&self, error: &Error, side: Side, kind: ErrorKind) {
        assert_eq!(
            (error.side(), error.kind()),
            (Some(side), kind),
            "{error:?}"
        );
        assert_eq!(error.operation(), "copy image");
        assert_eq!(self.target.image_count(), 0, "{error:?}");
        self.check_requests();
    }
}

/// Befalls requests for content.
fn content(fault: Fault) -> FaultRule {
    fault.when(|request| request.header("accept") == Some(QEMU_DISK))
}

fn cut(after: u64) -> Fault {
    let close = Close::Reset;
    Fault::CutResponse { after, close }
}

#[tokio::test]
async fn a_copy_has_the_name_and_the_bytes_of_the_image() -> Result<()> {
    let site = Site::new(large(3_000_000));
    let copied = site.copy().await?;
    assert_eq!(copied.image.name, "debian");
    assert_eq!(copied.bytes, site.bytes.len() as u64);
    assert_eq!(copied.sha256, Digest::of(&site.bytes));
    assert!(site.target.content(copied.image.id) == Some(site.bytes.clone()));
    let requests = site.target.requests();
    let [upload] = &requests[..] else {
        panic!("{} requests", requests.len());
    };
    let length = site.bytes.len().to_string();
    assert_eq!(upload.header("content-length"), Some(&*length));
    site.check_requests();
    Ok(())
}

#[tokio::test]
async fn a_copy_has_the_name_and_namespace_that_are_set() -> Result<()> {
    let site = Site::new(DISK.to_vec());
    site.target
        .add_namespace("lab", Visibility::Private)
        .unwrap();
    let digest = Digest::of(DISK);
    let copy = site.copy().name("web").namespace("lab".parse()?);
    let copied = copy.sha256(digest).await?;
    assert_eq!((&*copied.image.name, copied.sha256), ("web", digest));
    assert_eq!(copied.image.namespace.unwrap().path, "lab");
    // The name is not asked for.
    assert_eq!(site.source.requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_copy_on_the_same_server_needs_another_name() -> Result<()> {
    let site = Site::new(large(3_000_000));
    let copied = site.from.copy(site.id).to(&site.from).name("old").await?;
    assert!(site.source.content(copied.image.id) == Some(site.bytes.clone()));
    let error = site.from.copy(site.id).to(&site.from).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NameTaken);
    assert_eq!(error.side(), Some(Side::Target));
    assert_eq!(
        error.to_string(),
        "copy image 1: target: a name must be unique: \"debian\" exists already (400 Bad Request)"
    );
    assert_eq!(site.source.image_count(), 2);
    Ok(())
}

#[tokio::test]
async fn a_bad_name_makes_no_request() {
    let site = Site::new(DISK.to_vec());
    let error = site.copy().name("a b").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.side(), None);
    assert_eq!(
        (site.source.requests(), site.target.requests()),
        (vec![], vec![])
    );
}

#[tokio::test]
async fn progress_is_that_of_the_upload() -> Result<()> {
    let site = Site::new(large(3_000_000));
    let (sender, receiver) = std::sync::mpsc::channel();
    let listener = move |progress| sender.send(progress).unwrap();
    site.copy().progress(listener).await?;
    let seen: Vec<machine_images::Progress> = receiver.iter().collect();
    let last = seen.last().unwrap();
    let total = site.bytes.len() as u64;
    assert_eq!((seen[0].done, seen[0].total), (0, Some(total)));
    assert_eq!((last.done, last.total), (total, Some(total)));
    assert_eq!(last.phase, machine_images::Phase::Upload);
    Ok(())
}
