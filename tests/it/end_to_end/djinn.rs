use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use machine_images::djinn::{DownloadState, Image, Source};
use machine_images::{Digest, ErrorKind};
use tokio::io::AsyncReadExt;

use super::{DISK, Site};

fn disk() -> Vec<u8> {
    std::fs::read(DISK).unwrap()
}

async fn upload(site: &Site, what: &str) -> Image {
    let upload = site
        .images
        .create_upload(site.name(what), Source::file(DISK));
    upload.send().await.unwrap()
}

#[tokio::test]
async fn an_image_goes_up_and_comes_back_the_same() {
    let site = Site::new();
    let image = upload(&site, "there-and-back").await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy.qcow2");
    let digest = Digest::of(disk());

    let saved = site
        .images
        .save(image.id, &path)
        .sha256(digest)
        .await
        .unwrap();

    assert_eq!(std::fs::read(&path).unwrap(), disk());
    assert_eq!(
        (saved.bytes, saved.fetched, saved.resumed_from),
        (208_896, 208_896, 0)
    );
    assert_eq!(saved.sha256, Some(digest));
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");

    let read = site.images.get(image.id).send().await.unwrap();
    assert_eq!((read.id, &read.name), (image.id, &image.name));
    site.images.delete(image.id).send().await.unwrap();
    let error = site.images.get(image.id).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFoundOrUnauthorized);
}

#[tokio::test]
async fn every_kind_of_source_is_uploaded_whole() {
    let site = Site::new();
    let chunks = |bytes: Vec<u8>| {
        let chunks: Vec<_> = bytes.chunks(10_000).map(Bytes::copy_from_slice).collect();
        stream::iter(chunks.into_iter().map(io::Result::Ok))
    };
    let length = disk().len() as u64;
    let sources = [
        ("file", Source::file(DISK)),
        ("bytes", Source::from(disk())),
        ("reader", Source::reader(io::Cursor::new(disk()), length)),
        ("stream", Source::stream(chunks(disk()), Some(length))),
        ("chunked", Source::stream(chunks(disk()), None)),
    ];
    for (kind, source) in sources {
        let image = site
            .images
            .create_upload(site.name(kind), source)
            .send()
            .await
            .unwrap();
        let content = site.images.content(image.id).send().await.unwrap();
        assert_eq!(content.bytes().await.unwrap(), disk(), "{kind}");
        site.images.delete(image.id).send().await.unwrap();
    }
}

#[tokio::test]
async fn a_source_that_shrinks_or_grows_makes_no_image() {
    let site = Site::new();
    let before = names(&site).await;
    for length in [100_000, 208_895, 208_897, 1_000_000] {
        let source = Source::reader(io::Cursor::new(disk()), length);
        let error = site
            .images
            .create_upload(site.name("wrong"), source)
            .unchecked()
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{length}: {error:?}");
        assert!(!error.is_retryable());
    }
    assert_eq!(names(&site).await, before);
}

async fn names(site: &Site) -> Vec<String> {
    let all = site.images.list().stream();
    all.map_ok(|image| image.name).try_collect().await.unwrap()
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told_before_a_request() {
    let site = Site::new();
    for path in ["/no/such/file", "/"] {
        let upload = site.images.create_upload("x", Source::file(path));
        assert_eq!(upload.send().await.unwrap_err().kind(), ErrorKind::Source);
    }
    if let Some(server) = &site.embedded {
        assert_eq!(server.requests(), []);
    }
}

#[tokio::test]
async fn the_server_downloads_an_image_and_is_waited_for() {
    let site = Site::new();
    let Some(server) = &site.embedded else { return };
    let url = server.publish(disk()).unwrap();
    let image = site
        .images
        .create_download(site.name("down"), url)
        .send()
        .await
        .unwrap();
    assert!(image.download.is_none());

    let image = site.images.wait_downloaded(image.id).send().await.unwrap();

    let state = image.download.as_ref().map(|download| download.state());
    assert_eq!(state, Some(DownloadState::Finished));
    let content = site.images.content(image.id).send().await.unwrap();
    assert_eq!(content.bytes().await.unwrap(), disk());
}

#[tokio::test]
async fn a_wait_ends_with_failure_deletion_or_the_time() {
    let site = Site::new();
    let Some(server) = &site.embedded else { return };
    let nobody = "http://127.0.0.1:1/x".parse().unwrap();
    let image = site
        .images
        .create_download("refused", nobody)
        .send()
        .await
        .unwrap();
    let error = site
        .images
        .wait_downloaded(image.id)
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DownloadFailed);
    assert!(error.message().unwrap().contains("127.0.0.1:1"), "{error}");

    // The real server leaves such a download running for ever.
    let mut stuck = server.publish(disk()).unwrap();
    stuck.set_username("user").unwrap();
    stuck.set_password(Some("secret")).unwrap();
    let image = site
        .images
        .create_download("stuck", stuck)
        .send()
        .await
        .unwrap();
    let wait = site
        .images
        .wait_downloaded(image.id)
        .timeout(Duration::from_millis(600));
    let error = wait.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("running"), "{error}");

    let wait = site.images.wait_downloaded(image.id);
    let delete = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        site.images.delete(image.id).send().await.unwrap();
    };
    let (waited, ()) = futures::join!(wait.send(), delete);
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::Deleted);
    let error = site
        .images
        .wait_downloaded(image.id)
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFoundOrUnauthorized);
}

#[tokio::test]
async fn a_name_is_taken_only_once_and_a_namespace_is_made() {
    let site = Site::new();
    let image = upload(&site, "twice").await;
    let again = site.images.create_upload(&image.name, Source::file(DISK));
    let error = again.send().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::NameTaken, Some(400))
    );
    assert_eq!(error.fields().unwrap()["name"], ["Name already exists"]);

    let again = site.images.create_upload(&image.name, Source::file(DISK));
    let namespace = "testlab/inner".parse().unwrap();
    let other = again.namespace(namespace).send().await.unwrap();
    let read = site.images.get(other.id).send().await.unwrap();
    assert_eq!(read.namespace.unwrap().path, "testlab/inner");
    for image in [image, other] {
        site.images.delete(image.id).send().await.unwrap();
    }
}

#[tokio::test]
async fn contents_are_read_in_every_way() {
    let site = Site::new();
    let image = upload(&site, "ways").await;
    let content = || site.images.content(image.id);
    let disk = disk();

    let mut whole = content().send().await.unwrap();
    assert_eq!(
        (whole.length(), whole.total()),
        (Some(208_896), Some(208_896))
    );
    let created = image.created_at.as_second();
    assert_eq!(
        whole.last_modified().map(|time| time.as_second()),
        Some(created)
    );
    let mut read = Vec::new();
    whole.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, disk);

    let mut streamed = Vec::new();
    let mut chunks = content().await.unwrap();
    while let Some(chunk) = chunks.next().await {
        streamed.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(streamed, disk);

    for (range, expected) in [
        (content().range(0..4), &disk[..4]),
        (content().range(100..=199), &disk[100..200]),
        (content().range(208_880..), &disk[208_880..]),
        (content().range(208_880..1_000_000), &disk[208_880..]),
        (content().range(..), &disk[..]),
    ] {
        let part = range.send().await.unwrap();
        assert_eq!(part.length(), Some(expected.len() as u64));
        assert_eq!(part.total(), Some(208_896));
        assert_eq!(part.bytes().await.unwrap(), expected);
    }
    let error = content().range(208_896..).send().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::Range, Some(416))
    );
    let error = content()
        .send()
        .await
        .unwrap()
        .bytes_up_to(208_895)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    site.images.delete(image.id).send().await.unwrap();
}

#[tokio::test]
async fn a_wrong_token_is_told_on_every_call() {
    let site = Site::new();
    let Some(server) = &site.embedded else { return };
    let id = server.add_image("x", disk()).unwrap();
    let client = machine_images::djinn::Client::builder(server.url()).token("wrong");
    let images = client.build().unwrap().images();
    let errors = [
        images.list().page(1).send().await.unwrap_err(),
        images.get(id).send().await.unwrap_err(),
        images.content(id).send().await.unwrap_err(),
        images
            .create_upload("y", Source::file(DISK))
            .send()
            .await
            .unwrap_err(),
        images.delete(id).send().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotFoundOrUnauthorized, "{error}");
        assert_eq!(error.status(), Some(404));
    }
}
