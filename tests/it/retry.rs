//! How long requests are repeated, who decides it, and who hears of it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use machine_images::djinn::{Client, Images};
use machine_images::testing::{Close, DjinnServer, Fault, RetryAfter};
use machine_images::{Attempt, ClientBuilder, ErrorKind, RetryPolicy};

const DISK: &[u8] = include_bytes!("../data/disk.qcow2");

fn builder(server: &DjinnServer) -> ClientBuilder<Client> {
    Client::builder(server.url()).token(server.token())
}

fn images(server: &DjinnServer, policy: RetryPolicy) -> Images {
    builder(server).retry(policy).build().unwrap().images()
}

fn quick(retries: usize) -> RetryPolicy {
    let delay = Duration::from_millis(1);
    RetryPolicy::default().retries(retries).first_delay(delay)
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_lists_and_contents_survive_a_server_that_is_away_for_30_s() {
    let server = DjinnServer::start().unwrap();
    server.add_images(30).unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    let images = builder(&server).build().unwrap().images();
    let mut content = images.content(id).send().await.unwrap();
    let first = content.chunk().await.unwrap().unwrap();
    let began = Instant::now();
    server.restart(Duration::from_secs(30));

    let rest = content.bytes();
    let fetched = async { images.content(id).send().await?.bytes().await };
    let listed = images.list().stream().try_collect::<Vec<_>>();
    let (rest, fetched, listed) = tokio::join!(rest, fetched, listed);

    assert!(began.elapsed() > Duration::from_secs(30));
    assert_eq!(first.len() + rest.unwrap().len(), DISK.len());
    assert_eq!(fetched.unwrap(), DISK);
    assert_eq!(listed.unwrap().len(), 31);
}

#[cfg(feature = "fs")]
#[tokio::test]
async fn the_attempts_are_counted_whatever_failed() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let images = images(&server, quick(2));
    for (fault, connections) in [
        (Fault::status(503), 1),
        (Fault::status(503), 4),
        (
            Fault::DropRequest {
                close: Close::Reset,
            },
            1,
        ),
    ] {
        for unchecked in [false, true] {
            server.clear_faults();
            server.clear_requests();
            server.inject(fault.clone().always());
            let mut content = images
                .save(id, folder.path().join("x"))
                .connections(connections);
            if unchecked {
                content = content.unchecked();
            }
            let error = content.await.unwrap_err();
            assert_eq!(error.attempts(), 3, "{error:?}");
            assert_eq!(server.requests().len(), 3, "{error:?}");
            assert!(
                error.to_string().contains(" after 3 attempts in "),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn a_break_and_the_requests_that_follow_it_are_counted_together() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    let images = images(&server, quick(2));
    let cut = Fault::CutResponse {
        after: 100,
        close: Close::Clean,
    };
    server.inject(cut);
    server.inject(Fault::status(503).always());
    let content = images.content(id).send().await.unwrap();
    let error = content.bytes().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Server, 3));
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn what_failed_before_the_last_progress_is_not_counted() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = heard.clone();
    let policy = quick(5).on_retry(move |error, _| {
        sink.lock().unwrap().push(error.attempts());
    });
    let cut = Fault::CutResponse {
        after: 50_000,
        close: Close::Clean,
    };
    server.inject(cut.times(3));
    let content = images(&server, policy).content(id).send().await.unwrap();
    assert_eq!(content.bytes().await.unwrap(), DISK);
    assert_eq!(*heard.lock().unwrap(), [1, 1, 1]);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_tells_the_time_of_all_attempts() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    server.inject(Fault::Status {
        status: 503,
        retry_after: Some(RetryAfter::Seconds(1)),
    });
    server.inject(Fault::Html { status: 200 });
    let images = images(&server, quick(2));
    let error = images.get(id).await.unwrap_err();
    assert_eq!(error.attempts(), 2, "{error:?}");
    assert!(error.elapsed() >= Duration::from_secs(1), "{error:?}");
}

#[tokio::test]
async fn a_user_decides_what_is_worth_another_request() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    let policy = quick(3).retry_if(move |error| {
        noted.lock().unwrap().push(error.kind());
        error.status() == Some(500)
    });
    let images = images(&server, policy);

    server.inject(Fault::status(500).times(2));
    images.get(id).send().await.unwrap();
    server.inject(Fault::status(503));
    let error = images.get(id).send().await.unwrap_err();
    assert_eq!((error.status(), error.attempts()), (Some(503), 1));
    assert_eq!(*asked.lock().unwrap(), [ErrorKind::Server; 3]);

    // A creation is not the user's to repeat.
    server.inject(Fault::status(500).on("POST", "/images"));
    let upload = images.create_upload("new", DISK);
    assert_eq!(upload.send().await.unwrap_err().status(), Some(500));
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_listener_hears_of_each_attempt() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    let heard = Arc::new(Mutex::new(Vec::<Attempt>::new()));
    let sink = heard.clone();
    let client = builder(&server)
        .retry(quick(2))
        .on_attempt(move |attempt| sink.lock().unwrap().push(attempt.clone()));
    let images = client.build().unwrap().images();
    let take = || std::mem::take(&mut *heard.lock().unwrap());

    server.inject(Fault::status(503));
    images.get(id).send().await.unwrap();
    let [refused, answered] = take().try_into().unwrap();
    assert_eq!((refused.number, refused.status), (1, Some(503)));
    assert_eq!((answered.number, answered.status), (2, Some(200)));
    assert_eq!(answered.method, "GET");
    assert_eq!(answered.url, format!("{}/images/{id}", server.url()));
    assert!(
        answered.received > 300 && answered.sent == 0,
        "{answered:?}"
    );

    images.create_upload("new", DISK).send().await.unwrap();
    let [upload] = take().try_into().unwrap();
    assert_eq!((upload.status, upload.sent), (Some(201), DISK.len() as u64));

    let cut = Fault::CutResponse {
        after: 100,
        close: Close::Clean,
    };
    server.inject(cut);
    let content = images.content(id).send().await.unwrap();
    content.bytes().await.unwrap();
    let [broken, rest] = take().try_into().unwrap();
    assert_eq!((broken.status, broken.received), (Some(200), 100));
    assert_eq!(broken.error, Some(ErrorKind::Transport));
    assert_eq!((rest.status, rest.number, rest.error), (Some(206), 2, None));
    assert_eq!(rest.received, DISK.len() as u64 - 100);

    server.restart(Duration::from_secs(5));
    images.get(id).send().await.unwrap_err();
    // The first may go out over a connection that is there still.
    let [_, second, third] = take().try_into().unwrap();
    for attempt in [second, third] {
        assert_eq!(attempt.error, Some(ErrorKind::Connect));
    }
}

#[tokio::test]
async fn no_number_of_a_policy_or_a_server_overflows() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    let policy = RetryPolicy::default()
        .retries(usize::MAX)
        .first_delay(Duration::MAX)
        .max_delay(Duration::from_millis(1))
        .max_retry_after(Duration::MAX)
        .total(Duration::from_secs(60));
    let images = images(&server, policy);
    // The first delay heeds the bound of all, too.
    server.inject(Fault::status(503).times(3));
    images.get(id).send().await.unwrap();
    server.inject(Fault::Status {
        status: 503,
        retry_after: Some(RetryAfter::Seconds(u64::MAX)),
    });
    let error = images.get(id).send().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(u64::MAX)));
}
