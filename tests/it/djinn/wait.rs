//! Waiting for the server's download.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use futures::channel::mpsc;
use futures::stream::{self, StreamExt};
use machine_images::djinn::DownloadState;
use machine_images::{ErrorKind, Phase, Progress, RetryPolicy};
use serde_json::{Value, json};
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{assert_request, builder, disk_answer, image, images, json_answer};

fn downloading(started: bool, finished: bool, error: Option<&str>) -> Value {
    let time = |is: bool| is.then_some("2026-11-22T01:00:50.198057Z");
    let mut image = image(42, "alpine");
    image["download"] = json!({
        "created_at": "2026-11-22T00:57:42.689158Z",
        "started_at": time(started),
        "finished_at": time(finished),
        "error": error,
        "source": "http://127.0.0.1:9099/ok.qcow2",
    });
    image
}

/// Gives these answers, one a request, and expects each of them to be asked for.
async fn serve(answers: impl IntoIterator<Item = ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    for answer in answers {
        Mock::given(method("GET"))
            .and(path("/api/images/42"))
            .respond_with(answer)
            .up_to_n_times(1)
            .expect(1)
            .mount(&server)
            .await;
    }
    server
}

#[tokio::test]
async fn it_asks_until_the_download_is_finished() {
    let bodies = [
        downloading(false, false, None),
        downloading(true, false, None),
        downloading(true, true, None),
    ];
    let server = serve(bodies.map(|body| json_answer(200, &body))).await;
    let began = Instant::now();
    let got = images(&server)
        .wait_downloaded(42)
        .unchecked()
        .send()
        .await
        .unwrap();
    assert_eq!(got.download.unwrap().state(), DownloadState::Finished);
    // 0.25 s, then half as much again.
    assert!(began.elapsed() >= Duration::from_millis(625));
    for request in server.received_requests().await.unwrap() {
        let headers = ["accept: application/json"];
        assert_request(&request, "GET /api/images/42", &headers, b"");
    }
}

#[tokio::test]
async fn an_image_that_was_uploaded_is_there_at_once() {
    let server = serve([json_answer(200, &image(42, "x"))]).await;
    let got = images(&server)
        .wait_downloaded(42)
        .unchecked()
        .send()
        .await
        .unwrap();
    assert_eq!(got.download, None);
}

#[tokio::test]
async fn a_failed_download_is_an_error_with_the_servers_text() {
    let text = "unexpected Content-Type, got=\"text/html\", expected=\"application/x-qemu-disk\"";
    let server = serve([json_answer(200, &downloading(true, true, Some(text)))]).await;
    let error = images(&server)
        .wait_downloaded(42)
        .unchecked()
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DownloadFailed);
    assert_eq!(error.message(), Some(text));
    assert_eq!(
        error.to_string(),
        format!("wait for download of image 42: {text}")
    );
}

#[tokio::test]
async fn an_image_that_is_deleted_meanwhile_is_gone() {
    let missing = json_answer(404, &json!({"message": "Not Found"}));
    let server = serve([json_answer(200, &downloading(false, false, None)), missing]).await;
    let error = images(&server)
        .wait_downloaded(42)
        .unchecked()
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deleted);
}

#[tokio::test]
async fn an_image_that_never_was_is_not_gone() {
    let server = serve([json_answer(404, &json!({"message": "Not Found"}))]).await;
    let error = images(&server)
        .wait_downloaded(42)
        .unchecked()
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFoundOrUnauthorized);
}

#[tokio::test]
async fn a_download_that_never_ends_is_out_of_time() {
    for (body, word) in [
        (downloading(false, false, None), "queued"),
        (downloading(true, false, None), "running"),
    ] {
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(json_answer(200, &body))
            .expect(1..=2)
            .mount(&server)
            .await;
        let wait = images(&server).wait_downloaded(42).unchecked();
        let wait = wait.timeout(Duration::from_millis(200));
        let error = wait.send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_does_not_hold_up_the_wait() {
    let answer = json_answer(200, &image(42, "x")).set_delay(Duration::from_secs(30));
    let server = serve([answer]).await;
    let began = Instant::now();
    let wait = images(&server)
        .wait_downloaded(42)
        .unchecked()
        .timeout(Duration::from_millis(100));
    let error = wait.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_hiccup_of_the_server_does_not_end_the_wait() {
    let done = json_answer(200, &downloading(true, true, None));
    let server = serve([ResponseTemplate::new(502), done]).await;
    images(&server)
        .wait_downloaded(42)
        .unchecked()
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_is_away_for_longer_than_the_retries_does_not_end_the_wait() {
    let queued = json_answer(200, &downloading(false, false, None));
    let bad = ResponseTemplate::new(502);
    let busy = ResponseTemplate::new(503).insert_header("retry-after", "1");
    let done = json_answer(200, &downloading(true, true, None));
    let server = serve([queued, bad, busy, done]).await;
    let client = builder(&server).retry(RetryPolicy::none()).build().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let wait = client.images().wait_downloaded(42).unchecked();
    let wait = wait.progress(move |progress: Progress| {
        assert_eq!((progress.phase, progress.done), (Phase::Wait, 0));
        seen.fetch_add(1, Relaxed);
    });
    let began = Instant::now();
    assert_eq!(wait.await.unwrap().id.get(), 42);
    assert_eq!(calls.load(Relaxed), 4);
    // The pauses alone take 1.2 s.
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_server_that_is_away_before_the_inspection_does_not_end_the_wait() {
    let done = || json_answer(200, &downloading(true, true, None));
    let server = serve([
        done(),
        ResponseTemplate::new(502),
        done(),
        disk_answer(200, include_bytes!("../../data/disk.qcow2")),
    ])
    .await;
    let client = builder(&server).retry(RetryPolicy::none()).build().unwrap();
    client.images().wait_downloaded(42).await.unwrap();
}

#[tokio::test]
async fn a_server_that_asks_for_an_endless_pause_is_out_of_time() {
    let server = serve([json_answer(200, &downloading(false, false, None))]).await;
    let busy = ResponseTemplate::new(503).insert_header("retry-after", "99999999999999999999");
    Mock::given(any()).respond_with(busy).mount(&server).await;
    let wait = images(&server).wait_downloaded(42).unchecked();
    let error = wait.timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("asks to wait"), "{error}");
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_image_that_is_deleted_before_its_inspection_is_gone() {
    let missing = || json_answer(404, &json!({"message": "Not Found"}));
    let done = json_answer(200, &downloading(true, true, None));
    // The contents, what they lack, and whether the image is there.
    let server = serve([done, missing(), missing(), missing()]).await;
    let error = images(&server).wait_downloaded(42).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deleted);
}

#[tokio::test]
async fn a_page_of_a_proxy_does_not_say_that_the_image_was_deleted() {
    let queued = json_answer(200, &downloading(false, false, None));
    let html = ResponseTemplate::new(404).set_body_raw("<h1>Not Found</h1>", "text/html");
    let server = serve([queued, html]).await;
    let wait = images(&server).wait_downloaded(42).unchecked();
    assert_eq!(wait.await.unwrap_err().kind(), ErrorKind::UnknownRoute);
}

#[tokio::test]
async fn a_wait_for_a_server_that_went_away_tells_why() {
    let server = serve([json_answer(200, &downloading(false, false, None))]).await;
    let broken = ResponseTemplate::new(502);
    Mock::given(any()).respond_with(broken).mount(&server).await;
    let patient = RetryPolicy::default().retries(1000);
    for policy in [RetryPolicy::none(), patient] {
        let client = builder(&server).retry(policy).build().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&calls);
        let wait = client.images().wait_downloaded(42).unchecked();
        let wait = wait.progress(move |_: Progress| {
            seen.fetch_add(1, Relaxed);
        });
        let before = server.received_requests().await.unwrap().len();
        let error = wait.timeout(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let text = error.to_string();
        assert!(
            text.contains("the last request failed") && text.contains("502"),
            "{text}"
        );
        let requests = server.received_requests().await.unwrap().len() - before;
        // The last one may have been under way.
        let calls = calls.load(Relaxed);
        assert!(requests > 1 && (calls..=calls + 1).contains(&requests));
    }
}

#[tokio::test]
async fn a_dropped_wait_asks_no_more() {
    let server = serve([json_answer(200, &downloading(false, false, None))]).await;
    let wait = images(&server).wait_downloaded(42).unchecked().send();
    let short = Duration::from_millis(150);
    assert!(tokio::time::timeout(short, wait).await.is_err());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

/// Answers that the download is running until it is done.
async fn serve_until(is_done: impl Fn() -> bool + Send + Sync + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(move |_: &wiremock::Request| {
            json_answer(200, &downloading(true, is_done(), None))
        })
        .expect(1..)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_hint_ends_the_wait_at_once() {
    let done = Arc::new(AtomicBool::new(false));
    let is_done = Arc::clone(&done);
    let server = serve_until(move || is_done.load(Relaxed)).await;
    let (hint, hints) = mpsc::unbounded();
    let wait = images(&server).wait_downloaded(42).unchecked();
    let webhook = async {
        // The requests without a hint are sent after 2.03 s and 3.3 s.
        tokio::time::sleep(Duration::from_millis(2300)).await;
        done.store(true, Relaxed);
        hint.unbounded_send(()).unwrap();
        Instant::now()
    };
    let (image, hinted) = futures::join!(wait.woken_by(hints).send(), webhook);
    assert!(hinted.elapsed() < Duration::from_millis(800));
    let state = image.unwrap().download.unwrap().state();
    assert_eq!(state, DownloadState::Finished);
}

#[tokio::test]
async fn hints_that_never_come_or_end_or_lie_do_no_harm() {
    for (name, hints) in [
        ("silent", stream::pending().boxed()),
        ("ended", stream::empty().boxed()),
        ("ends", stream::iter([(), ()]).boxed()),
        ("floods", stream::repeat(()).boxed()),
    ] {
        let began = Instant::now();
        let server = serve_until(move || began.elapsed() > Duration::from_secs(1)).await;
        let wait = images(&server).wait_downloaded(42).unchecked();
        wait.woken_by(hints).await.unwrap();
        // After 0, 0.25, 0.63, 1.19 s.
        let requests = server.received_requests().await.unwrap().len();
        assert!((2..=4).contains(&requests), "{name}: {requests}");
    }
}
