//! What is sent again, and what never is.

use std::time::{Duration, Instant};

use machine_images::djinn::{Client, Source};
use machine_images::{ErrorKind, RetryPolicy};
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::raw::{Answer, RawServer, Then};
use crate::support::{TOKEN, builder, disk_answer, image, images, json_answer, quick};

/// Gives the first answer so many times, then the second once.
async fn serve(first: ResponseTemplate, times: u64, second: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(first)
        .up_to_n_times(times)
        .expect(times)
        .mount(&server)
        .await;
    Mock::given(any())
        .respond_with(second)
        .expect(1)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn reading_is_repeated_until_it_succeeds() {
    let html = |status| ResponseTemplate::new(status).set_body_raw("<html>", "text/html");
    let wrong = json_answer(503, &json!({"message": "starting"}));
    for failure in [
        html(502),
        html(503),
        html(504),
        html(500),
        html(429),
        html(408),
        wrong,
    ] {
        let good = json_answer(200, &image(42, "x"));
        let server = serve(failure.clone(), 2, good).await;
        images(&server).get(42).send().await.unwrap();

        let server = serve(failure.clone(), 2, json_answer(200, &json!([]))).await;
        images(&server).list().page(1).send().await.unwrap();

        let server = serve(failure.clone(), 2, disk_answer(200, "QFI")).await;
        let content = images(&server).content(42).send().await.unwrap();
        assert_eq!(content.bytes().await.unwrap(), "QFI");

        let server = serve(failure, 2, ResponseTemplate::new(204)).await;
        images(&server).delete(42).send().await.unwrap();
    }
}

#[tokio::test]
async fn what_the_server_means_is_not_repeated() {
    for status in [400, 401, 403, 404, 405, 409, 413, 422, 500, 501] {
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(json_answer(status, &json!({"message": "no"})))
            .expect(1)
            .mount(&server)
            .await;
        let error = images(&server).get(42).send().await.unwrap_err();
        assert_eq!((error.status(), error.attempts()), (Some(status), 1));
    }
}

#[tokio::test]
async fn it_gives_up_with_the_last_error_and_the_number_of_attempts() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(503))
        .expect(4)
        .mount(&server)
        .await;
    let client = builder(&server).retry(quick().retries(3)).build().unwrap();
    let error = client.images().get(42).send().await.unwrap_err();
    assert_eq!((error.status(), error.attempts()), (Some(503), 4));
}

#[tokio::test]
async fn an_answer_that_is_wrong_after_a_retry_counts_both_requests() {
    for (answer, kind) in [
        (json_answer(200, &json!({})), ErrorKind::Decode),
        (
            json_answer(404, &json!({"message": "Not Found"})),
            ErrorKind::NotFoundOrUnauthorized,
        ),
    ] {
        let server = serve(ResponseTemplate::new(503), 1, answer).await;
        let error = images(&server).get(42).send().await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (kind, 2));
    }
}

#[tokio::test]
async fn a_creation_is_never_sent_twice() {
    for status in [408, 429, 500, 502, 503, 504] {
        for upload in [true, false] {
            let server = MockServer::start().await;
            let answer = ResponseTemplate::new(status).insert_header("Retry-After", "0");
            Mock::given(any())
                .respond_with(answer)
                .expect(1)
                .mount(&server)
                .await;
            let images = images(&server);
            let url = "http://h/x".parse().unwrap();
            let error = match upload {
                true => {
                    images
                        .create_upload("x", b"QFI\xfb".as_slice())
                        .unchecked()
                        .send()
                        .await
                }
                false => images.create_download("x", url).send().await,
            }
            .unwrap_err();
            assert_eq!((error.status(), error.attempts()), (Some(status), 1));
        }
    }
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_or_cut_is_not_sent_twice() {
    let cut =
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
    let gave_up = "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n";
    for answer in ["", cut, gave_up] {
        for upload in [true, false] {
            let server = RawServer::start(vec![Answer::new(answer, Then::Close)]).await;
            let images = Client::builder(server.url(""))
                .retry(quick())
                .build()
                .unwrap()
                .images();
            let url = "http://h/x".parse().unwrap();
            let error = match upload {
                true => {
                    images
                        .create_upload("x", b"QFI\xfb".as_slice())
                        .unchecked()
                        .send()
                        .await
                }
                false => images.create_download("x", url).send().await,
            }
            .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
            assert!(!error.is_retryable());
            assert_eq!(server.received().len(), 1);
        }
    }
}

#[tokio::test]
async fn reading_whose_answer_is_cut_is_repeated() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n[";
    let good = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";
    let answers = [cut, "", "HTTP/1.1 x\r\n\r\n", good];
    let answers = answers.map(|answer| Answer::new(answer, Then::Close));
    let server = RawServer::start(answers.into()).await;
    let client = Client::builder(server.url(""))
        .token(TOKEN)
        .retry(quick())
        .build();
    client
        .unwrap()
        .images()
        .list()
        .page(1)
        .send()
        .await
        .unwrap();
    let received = server.received();
    assert_eq!(received.len(), 4);
    for request in &received {
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("GET", "/images")
        );
        assert_eq!(
            request.header("authorization"),
            Some(&*format!("Bearer {TOKEN}"))
        );
    }
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let busy = ResponseTemplate::new(429).insert_header("Retry-After", "1");
    let server = serve(busy, 1, json_answer(200, &image(42, "x"))).await;
    let began = Instant::now();
    images(&server).get(42).send().await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_retry_after_that_is_too_long_ends_the_attempts() {
    let server = MockServer::start().await;
    let busy = ResponseTemplate::new(503).insert_header("Retry-After", "3600");
    Mock::given(any())
        .respond_with(busy)
        .expect(1)
        .mount(&server)
        .await;
    let error = images(&server).get(42).send().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
}

#[tokio::test]
async fn without_a_policy_nothing_is_repeated() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(503))
        .expect(1)
        .mount(&server)
        .await;
    let client = builder(&server).retry(RetryPolicy::none()).build().unwrap();
    client.images().get(42).send().await.unwrap_err();
}

#[tokio::test]
async fn an_upload_is_tried_again_only_if_it_could_not_connect_and_can_be_read_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::builder(base)
        .retry(quick().retries(2))
        .build()
        .unwrap();
    let again = Source::from(b"QFI\xfb".as_slice());
    let once = Source::reader(std::io::Cursor::new(b"QFI\xfb"), 4);
    for (source, attempts) in [(again, 3), (once, 1)] {
        let error = client
            .images()
            .create_upload("x", source)
            .unchecked()
            .send()
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::Connect, attempts)
        );
    }
}
