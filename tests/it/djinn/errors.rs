//! What a status becomes, whatever body comes with it.

use std::time::{Duration, Instant};

use machine_images::djinn::{Client, Source};
use machine_images::{Error, ErrorKind, RetryPolicy};
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::raw::{Answer, RawServer, Then};
use crate::support::{builder, images, json_answer};

async fn get(answer: ResponseTemplate) -> Error {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(answer)
        .expect(1)
        .mount(&server)
        .await;
    let client = builder(&server).retry(RetryPolicy::none()).build().unwrap();
    client.images().get(42).send().await.unwrap_err()
}

#[tokio::test]
async fn every_status_has_its_kind_and_is_retryable_or_not() {
    use ErrorKind::*;
    for (status, kind, retryable) in [
        (301, Redirect, false),
        (302, Redirect, false),
        (303, Redirect, false),
        (304, UnexpectedStatus, false),
        (307, Redirect, false),
        (308, Redirect, false),
        (400, Rejected, false),
        (401, Unauthorized, false),
        (402, UnexpectedStatus, false),
        (403, Forbidden, false),
        (404, NotFoundOrUnauthorized, false),
        (405, UnexpectedStatus, false),
        (406, UnexpectedStatus, false),
        (408, UnexpectedStatus, true),
        (409, Rejected, false),
        (410, UnexpectedStatus, false),
        (412, UnexpectedStatus, false),
        (413, TooLarge, false),
        (416, Range, false),
        (418, UnexpectedStatus, false),
        (422, Rejected, false),
        (429, RateLimited, true),
        (500, Server, false),
        (501, Server, false),
        (502, Server, true),
        (503, Server, true),
        (504, Server, true),
        (507, Server, false),
        (599, Server, false),
        (600, UnexpectedStatus, false),
        (999, UnexpectedStatus, false),
    ] {
        let body = json!({"message": "so it is"});
        let error = get(json_answer(status, &body)).await;
        assert_eq!(error.kind(), kind, "{status}");
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.is_retryable(), retryable, "{status}");
        assert_eq!((error.operation(), error.attempts()), ("get image", 1));
        assert!(error.url().unwrap().ends_with("/api/images/42"));
        if status != 304 {
            assert_eq!(error.message(), Some("so it is"), "{status}");
        }
    }
}

#[tokio::test]
async fn no_body_hides_the_status() {
    let huge = "<html>".repeat(50_000);
    let deep = "[".repeat(60_000);
    for (media_type, body, message) in [
        (
            "application/json",
            r#"{"message":"m","stack":"s"}"#,
            Some("m"),
        ),
        (
            "application/json; charset=utf-8",
            "{\"message\":\"m\"}\n",
            Some("m"),
        ),
        ("text/plain", r#"{"message":"m"}"#, Some("m")),
        ("", r#"{"message":"m"}"#, Some("m")),
        ("application/json", r#"{"message":5}"#, None),
        ("application/json", r#"{"message":"#, None),
        ("application/json", "[1,2]", None),
        ("application/json", "null", None),
        ("application/json", "", None),
        ("application/json", &deep, None),
        ("text/html", "<html>502 Bad Gateway</html>", None),
        ("text/html", &huge, None),
        (
            "text/plain; charset=utf-8",
            " out of order \n",
            Some("out of order"),
        ),
        ("text/plain", "", None),
        ("application/octet-stream", "\0\u{1}\u{2}", None),
    ] {
        for status in [400, 404, 413, 500, 502] {
            let answer = ResponseTemplate::new(status).set_body_raw(body, media_type);
            let error = get(answer).await;
            assert_eq!(error.status(), Some(status), "{media_type}");
            assert_eq!(error.message(), message, "{status} {media_type}");
            assert_eq!(error.fields(), None);
            assert!(error.to_string().contains(&status.to_string()));
            assert!(error.to_string().len() < 200);
        }
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_shown_as_far_as_it_is_text() {
    let answer = ResponseTemplate::new(400).set_body_raw(b"caf\xe9".as_slice(), "text/plain");
    assert_eq!(get(answer).await.message(), Some("caf\u{fffd}"));
}

#[tokio::test]
async fn a_body_in_another_encoding_does_not_hide_the_status() {
    let answer = ResponseTemplate::new(503)
        .set_body_raw(b"\x1f\x8b\x08rubbish".as_slice(), "text/html")
        .insert_header("Content-Encoding", "gzip");
    assert_eq!(get(answer).await.status(), Some(503));
}

#[tokio::test]
async fn a_500_of_the_api_is_final_and_one_of_a_proxy_is_not() {
    let api = get(json_answer(
        500,
        &json!({"message": "image.go:1: out of range"}),
    ))
    .await;
    assert!(!api.is_retryable());
    let proxy = ResponseTemplate::new(500).set_body_raw("<html>", "text/html");
    assert!(get(proxy).await.is_retryable());
}

#[tokio::test]
async fn retry_after_is_told_in_both_forms() {
    let answer = ResponseTemplate::new(503).insert_header("Retry-After", "7");
    assert_eq!(
        get(answer).await.retry_after(),
        Some(Duration::from_secs(7))
    );
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    let answer = ResponseTemplate::new(429).insert_header("Retry-After", past);
    assert_eq!(get(answer).await.retry_after(), Some(Duration::ZERO));
    let answer = ResponseTemplate::new(429).insert_header("Retry-After", "soon");
    assert_eq!(get(answer).await.retry_after(), None);
}

/// The error of a `GET` that is answered by these bytes.
async fn raw(answer: &str, then: Then) -> Error {
    let server = RawServer::start(vec![Answer::new(answer, then)]).await;
    let client = Client::builder(server.url("/api"))
        .retry(RetryPolicy::none())
        .stall_timeout(Duration::from_millis(500))
        .build();
    client.unwrap().images().get(42).send().await.unwrap_err()
}

#[tokio::test]
async fn a_body_that_is_cut_or_stands_still_or_never_ends_does_not_hide_the_status() {
    let began = Instant::now();
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n";
    let whole = r#"{"message":"m"}"#;
    let endless = format!(
        "{head}Content-Length: 9999999\r\n\r\n{}",
        "x".repeat(500_000)
    );
    for (answer, then) in [
        (
            format!("{head}Content-Length: 100\r\n\r\n{whole}"),
            Then::Close,
        ),
        (
            format!("{head}Content-Length: 100\r\n\r\n{whole}"),
            Then::Hang,
        ),
        (
            format!("{head}Content-Length: 15\r\n\r\n{}", &whole[..9]),
            Then::Close,
        ),
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"mes\r\nzz"),
            Then::Close,
        ),
        (endless, Then::Hang),
    ] {
        let error = raw(&answer, then).await;
        assert_eq!(
            (error.kind(), error.status()),
            (ErrorKind::Rejected, Some(400))
        );
        // Half a message may say the contrary of the whole.
        assert_eq!(error.message(), None);
    }
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_success_that_is_cut_or_stands_still_is_no_success() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    assert_eq!(raw(head, Then::Close).await.kind(), ErrorKind::Transport);
    assert_eq!(raw(head, Then::Hang).await.kind(), ErrorKind::Stalled);
    assert_eq!(raw("", Then::Close).await.kind(), ErrorKind::Transport);
    assert_eq!(
        raw("rubbish\r\n\r\n", Then::Close).await.kind(),
        ErrorKind::Tls
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_or_is_not_there() {
    let server = RawServer::start(vec![Answer::new("", Then::Hang)]).await;
    let client = Client::builder(server.url("/api"))
        .retry(RetryPolicy::none())
        .response_timeout(Duration::from_millis(100))
        .build();
    let error = client.unwrap().images().get(42).send().await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Timeout, None));

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::builder(base)
        .retry(RetryPolicy::none())
        .build()
        .unwrap();
    let error = client.images().get(42).send().await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Connect, None));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn the_limit_of_the_servers_store_is_an_image_that_is_too_large() {
    let said = "djinn-ci.com/image/image.go:1: file too large";
    for (message, kind) in [
        (said, ErrorKind::TooLarge),
        ("the file too large to open", ErrorKind::Server),
    ] {
        let server = MockServer::start().await;
        let answer = json_answer(500, &json!({ "message": message }));
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let upload = images(&server).create_upload("x", Source::from(b"QFI".to_vec()));
        let error = upload.unchecked().await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (kind, Some(500)));
        assert!(error.to_string().contains(message), "{error}");
        assert!(!error.is_retryable());
    }
}
