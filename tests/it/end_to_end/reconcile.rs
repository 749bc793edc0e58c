//! Uploads that find out what came of them.

mod downloads;
mod hostile;
mod random;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use machine_images::djinn::{Client, Images, Source};
use machine_images::testing::{Close, DjinnServer, Fault};
use machine_images::{Digest, ErrorKind, RetryPolicy};

use super::DISK;

/// A deadline for servers that are never away for long.
const QUICK: Duration = Duration::from_millis(800);

fn disk() -> Vec<u8> {
    std::fs::read(DISK).unwrap()
}

/// The digest of some bytes.
fn sha256(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}

fn site() -> (Arc<DjinnServer>, Images) {
    let server = DjinnServer::start().unwrap();
    let retry = RetryPolicy::default()
        .first_delay(Duration::from_millis(5))
        .max_delay(Duration::from_millis(20));
    let client = Client::builder(server.url())
        .token(server.token())
        .retry(retry);
    (Arc::new(server), client.build().unwrap().images())
}

fn posts(server: &DjinnServer) -> usize {
    let requests = server.requests();
    let posts = requests.iter().filter(|request| request.method == "POST");
    posts.count()
}

fn lose_the_answer(server: &DjinnServer) {
    let close = Close::Reset;
    server.inject(Fault::DropResponse { close }.on("POST", "/images"));
}

/// Does something when the first upload begins to arrive: the name was looked up by then.
fn meanwhile(server: &DjinnServer, act: impl Fn() + Send + Sync + 'static) {
    let has_begun = AtomicBool::new(false);
    let nothing = Fault::status(500).when(move |request| {
        if request.method == "POST" && !has_begun.swap(true, Ordering::Relaxed) {
            act();
        }
        false
    });
    server.inject(nothing);
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_found_again() {
    for close in [Close::Clean, Close::Reset] {
        let (server, images) = site();
        server.inject(Fault::DropResponse { close }.on("POST", "/images"));
        let upload = images
            .create_upload("lost", Source::file(DISK))
            .reconcile(true);

        let image = upload.send().await.unwrap();

        assert_eq!(server.content(image.id).unwrap(), disk());
        assert_eq!((posts(&server), server.image_count()), (1, 1));
    }
}

#[tokio::test]
async fn an_upload_that_was_cut_is_sent_again() {
    let (server, images) = site();
    let cut = Fault::CutRequest {
        after: 50_000,
        close: Close::Reset,
    };
    server.inject(cut.on("POST", "/images"));
    let upload = images
        .create_upload("cut", Source::file(DISK))
        .namespace("lab".parse().unwrap())
        .reconcile(true)
        .reconcile_within(QUICK);

    let image = upload.send().await.unwrap();

    assert_eq!(server.content(image.id).unwrap(), disk());
    assert_eq!((posts(&server), server.image_count()), (2, 1));
}

#[tokio::test]
async fn a_source_that_can_be_read_once_is_not_sent_again() {
    let large = || {
        let mut bytes = disk();
        bytes.resize(32 << 20, 0);
        bytes
    };
    let length = 32 << 20;
    let chunk = || futures::stream::iter([std::io::Result::Ok(large())]);
    let sources = [
        Source::reader(std::io::Cursor::new(large()), length),
        Source::stream(chunk(), Some(length)),
        Source::stream(chunk(), None),
    ];
    for source in sources {
        let (server, images) = site();
        let cut = Fault::CutRequest {
            after: 50_000,
            close: Close::Reset,
        };
        server.inject(cut.on("POST", "/images"));
        let upload = images.create_upload("cut", source).reconcile(true);

        let error = upload.send().await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::NotSent, "{error:?}");
        assert!(!error.is_retryable());
        assert_eq!((posts(&server), server.image_count()), (1, 0));
    }
}

#[tokio::test]
async fn a_stream_of_unknown_length_is_found_by_what_was_sent() {
    for length in [None, Some(disk().len() as u64)] {
        let (server, images) = site();
        lose_the_answer(&server);
        let chunks: Vec<_> = disk()
            .chunks(10_000)
            .map(<[u8]>::to_vec)
            .map(std::io::Result::Ok)
            .collect();
        let source = Source::stream(futures::stream::iter(chunks), length);
        let upload = images.create_upload("stream", source).reconcile(true);

        let image = upload.send().await.unwrap();

        assert_eq!(server.content(image.id).unwrap(), disk());
        assert_eq!((posts(&server), server.image_count()), (1, 1));
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_before_the_image_is_sent() {
    let mut other = disk();
    other[100_000] ^= 1;
    for contents in [disk(), other, b"QFI\xfb".to_vec()] {
        for digest in [None, Some(sha256(&disk()))] {
            let (server, images) = site();
            server.add_image("mine", &contents).unwrap();
            let mut upload = images
                .create_upload("mine", Source::file(DISK))
                .reconcile(true);
            if let Some(digest) = digest {
                upload = upload.reconcile_sha256(digest);
            }

            let error = upload.send().await.unwrap_err();

            assert_eq!(error.kind(), ErrorKind::NameTaken, "{error:?}");
            assert_eq!((posts(&server), server.image_count()), (0, 1));
        }
    }
}

#[tokio::test]
async fn a_name_whose_letters_are_wildcards_is_compared_as_a_whole() {
    let (server, images) = site();
    server.add_image("a-b", disk()).unwrap();
    server.add_image("xa_bx", disk()).unwrap();
    server.add_image("A_B", disk()).unwrap();
    lose_the_answer(&server);
    let upload = images
        .create_upload("a_b", Source::file(DISK))
        .reconcile(true);

    let image = upload.send().await.unwrap();

    assert_eq!(image.name, "a_b");
    assert_eq!((posts(&server), server.image_count()), (1, 4));
}

#[tokio::test]
async fn with_a_digest_an_image_of_other_contents_is_not_taken_for_the_upload() {
    let (server, images) = site();
    let (at, mut other) = (Arc::downgrade(&server), disk());
    other[100_000] ^= 1;
    meanwhile(&server, move || {
        at.upgrade().unwrap().add_image("mine", &other).unwrap();
    });
    lose_the_answer(&server);
    let upload = images
        .create_upload("mine", Source::file(DISK))
        .reconcile_sha256(sha256(&disk()))
        .reconcile_within(QUICK);

    let error = upload.send().await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::NameTaken, "{error:?}");
    assert_eq!((posts(&server), server.image_count()), (2, 1));
    let requests = server.requests();
    let is_whole = |request: &&machine_images::testing::Received| request.body_sent > 200_000;
    assert_eq!(requests.iter().filter(is_whole).count(), 1);
}

#[tokio::test]
async fn an_upload_that_is_made_late_is_found_when_the_next_is_refused() {
    for cut in [None, Some(10)] {
        let server = DjinnServer::start().unwrap();
        let copying = Fault::SlowCopy {
            wait: Duration::from_secs(1),
            outlives_client: true,
        };
        server.inject(copying.on("POST", "/images"));
        if let Some(after) = cut {
            let close = Close::Clean;
            let cut = Fault::CutResponse { after, close };
            server.inject(cut.on("POST", "/images"));
        }
        // It gives up, is told that there is nothing, and sends it again when the copy is made.
        let retry = RetryPolicy::default().first_delay(Duration::from_secs(4));
        let client = Client::builder(server.url())
            .token(server.token())
            .response_timeout(Duration::from_millis(300))
            .retry(retry);
        let upload = client
            .build()
            .unwrap()
            .images()
            .create_upload("late", Source::file(DISK))
            .reconcile(true)
            .reconcile_within(QUICK);

        let image = upload.send().await.unwrap();

        assert_eq!(server.content(image.id).unwrap(), disk());
        assert_eq!((posts(&server), server.image_count()), (2, 1));
    }
}

#[tokio::test]
async fn any_length_of_time_is_a_deadline() {
    for within in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let (server, images) = site();
        lose_the_answer(&server);
        let upload = images
            .create_upload("lost", Source::file(DISK))
            .reconcile(true)
            .reconcile_within(within);
        let image = upload.send().await.unwrap();
        assert_eq!(image.name, "lost");
        assert_eq!((posts(&server), server.image_count()), (1, 1));
    }
}

#[tokio::test]
async fn a_server_that_stays_away_leaves_the_outcome_unknown() {
    let (server, images) = site();
    let away = Fault::Restart {
        done: true,
        wait: Duration::from_secs(5),
    };
    server.inject(away.on("POST", "/images"));
    let upload = images
        .create_upload("away", Source::file(DISK))
        .reconcile(true)
        .reconcile_within(QUICK);

    let error = upload.send().await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
    assert_eq!((posts(&server), server.image_count()), (1, 1));
}
