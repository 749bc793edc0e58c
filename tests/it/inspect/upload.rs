use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, stream};
use machine_images::ErrorKind;
use machine_images::djinn::{Client, Source};
use machine_images::qcow2::{Code, Policy};

use super::{bad, good, patterned, site};

fn chunks(image: &[u8]) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static {
    let chunks: Vec<_> = image.chunks(1000).map(Bytes::copy_from_slice).collect();
    stream::iter(chunks.into_iter().map(Ok))
}

/// One image as every kind of source.
fn sources(image: &[u8]) -> Vec<(&'static str, Source)> {
    let length = image.len() as u64;
    vec![
        ("bytes", Source::from(image.to_vec())),
        (
            "reader",
            Source::reader(io::Cursor::new(image.to_vec()), length),
        ),
        ("stream", Source::stream(chunks(image), Some(length))),
        ("chunked", Source::stream(chunks(image), None)),
    ]
}

#[tokio::test]
async fn a_bad_image_makes_no_request() {
    let (server, images) = site();
    let not_qcow2 = b"PK\x03\x04 a zip".as_slice();
    for (image, code, words) in [
        (bad().as_slice(), Code::BackingFile, "/etc/passwd"),
        (not_qcow2, Code::NotQcow2, "ZIP"),
        (b"", Code::NotQcow2, "not a QCOW2 image"),
        (&good()[..100], Code::Truncated, "but the file ends at 100"),
    ] {
        for (kind, source) in sources(image) {
            let error = images.create_upload("x", source).send().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ImageRejected, "{kind}: {error:?}");
            assert_eq!(error.kind().as_str(), "image_rejected");
            assert!(error.to_string().contains(words), "{kind}: {error}");
            assert!(error.inspection().unwrap().has(code), "{kind}: {error:?}");
            assert!(!error.is_retryable());
        }
    }
    assert_eq!(server.requests(), []);
}

#[cfg(feature = "fs")]
#[tokio::test]
async fn a_bad_file_makes_no_request_wherever_the_fault_is() {
    let (server, images) = site();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.qcow2");
    // A snapshot table that is not there, which only a look at the whole file tells.
    let mut image = good();
    image[60..64].copy_from_slice(&1_u32.to_be_bytes());
    image[64..72].copy_from_slice(&(3_u64 << 16).to_be_bytes());
    image[3 << 16..].fill(0xff);
    for image in [bad(), image] {
        std::fs::write(&path, image).unwrap();
        let upload = images.create_upload("x", Source::file(&path));
        let error = upload.send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ImageRejected, "{error:?}");
    }
    assert_eq!(server.requests(), []);
}

#[tokio::test]
async fn what_was_looked_at_is_sent_all_the_same() {
    let (server, images) = site();
    let image = patterned(3_000_000);
    for (kind, source) in sources(&image) {
        let created = images.create_upload(kind, source).send().await.unwrap();
        assert!(server.content(created.id).unwrap() == image, "{kind}");
    }
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_stream_is_taken_no_further_than_its_header() {
    let (server, images) = site();
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    let endless = stream::iter(std::iter::once(Bytes::from(bad()).slice(..1024)))
        .chain(stream::repeat(Bytes::from_static(&[0; 1024])))
        .map(move |chunk| {
            count.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            io::Result::Ok(chunk)
        });
    let upload = images.create_upload("x", Source::stream(endless, None));
    assert_eq!(
        upload.send().await.unwrap_err().kind(),
        ErrorKind::ImageRejected
    );
    assert!(taken.load(Ordering::Relaxed) <= 64 << 10);
    assert_eq!(server.requests(), []);
}

#[tokio::test]
async fn a_policy_lets_more_pass_and_unchecked_everything() {
    let (server, images) = site();
    let policy = Policy::default().allow(Code::BackingFile);
    let upload = images.create_upload("allowed", bad()).policy(policy);
    let image = upload.send().await.unwrap();
    assert_eq!(server.content(image.id).unwrap(), bad());

    let policy = Policy::default().max_virtual_size(1 << 30);
    let upload = images.create_upload("large", good()).policy(policy);
    let error = upload.send().await.unwrap_err();
    assert!(error.inspection().unwrap().has(Code::VirtualSizeLimit));

    let upload = images
        .create_upload("any", b"QFI\xfb".as_slice())
        .unchecked();
    upload.send().await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_source_that_fails_or_stalls_at_its_start_makes_no_request() {
    let (server, _) = site();
    let client = Client::builder(server.url()).token(server.token());
    let client = client.stall_timeout(std::time::Duration::from_millis(50));
    let images = client.build().unwrap().images();
    let broken = stream::iter([io::Result::Ok(good()), Err(io::Error::other("unplugged"))]);
    let broken = broken.map(|chunk| chunk.map(|bytes| Bytes::from(bytes).slice(..100)));
    let silent = stream::pending::<io::Result<Bytes>>();
    for (source, kind) in [
        (Source::stream(broken, None), ErrorKind::Source),
        (Source::stream(silent, None), ErrorKind::Source),
    ] {
        let error = images.create_upload("x", source).send().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
    }
    assert_eq!(server.requests(), []);
}
