//! Redirects: followed for reading and within the origin only.

use machine_images::djinn::Images;
use machine_images::{Error, ErrorKind};
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{assert_request, disk_answer, image, images, json_answer, targets};

fn redirect(status: u16, location: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("Location", location)
}

/// Answers `/api/images/42` with a redirect, and `/there` with an image if `follows`.
async fn serve(status: u16, location: &str, follows: u64) -> MockServer {
    let server = MockServer::start().await;
    let location = location.replace("{server}", &server.uri());
    Mock::given(path("/api/images/42"))
        .respond_with(redirect(status, &location))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/there"))
        .respond_with(json_answer(200, &image(42, "x")))
        .expect(follows)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn reading_follows_within_the_origin_with_everything_it_sent() {
    for status in [301, 302, 307, 308] {
        for location in ["/there", "../../there", "{server}/there?x=1#y"] {
            let server = serve(status, location, 1).await;
            let got = images(&server).get(42).send().await.unwrap();
            assert_eq!(got.id.get(), 42);
            let requests = server.received_requests().await.unwrap();
            let line = match location.contains('?') {
                true => "GET /there?x=1",
                false => "GET /there",
            };
            let headers = ["accept: application/json"];
            assert_request(&requests[1], line, &headers, b"");
        }
    }
}

#[tokio::test]
async fn contents_follow_with_their_own_accept_and_range() {
    let server = MockServer::start().await;
    Mock::given(path("/api/images/42"))
        .respond_with(redirect(307, "/disks/42"))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/disks/42"))
        .respond_with(disk_answer(206, "QFI").insert_header("Content-Range", "bytes 0-2/9"))
        .expect(1)
        .mount(&server)
        .await;
    let content = images(&server)
        .content(42)
        .range(0..3)
        .send()
        .await
        .unwrap();
    assert_eq!(content.bytes().await.unwrap(), "QFI");
    let requests = server.received_requests().await.unwrap();
    let headers = ["accept: application/x-qemu-disk", "range: bytes=0-2"];
    assert_request(&requests[1], "GET /disks/42", &headers, b"");
}

fn refused(error: &Error, status: u16) {
    assert_eq!(error.kind(), ErrorKind::Redirect, "{error}");
    assert_eq!(error.status(), Some(status));
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn another_origin_is_refused_and_gets_no_request() {
    let foreign = MockServer::start().await;
    Mock::given(any())
        .respond_with(json_answer(200, &image(42, "x")))
        .expect(0)
        .mount(&foreign)
        .await;
    let port = foreign.address().port();
    for location in [
        format!("{}/there", foreign.uri()),
        format!("//127.0.0.1:{port}/there"),
        format!("http://localhost:{port}/there"),
        format!("https://127.0.0.1:{port}/there"),
    ] {
        let server = serve(302, &location, 0).await;
        let error = images(&server).get(42).send().await.unwrap_err();
        refused(&error, 302);
        assert!(
            error.message().unwrap().contains("another origin"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_303_to_the_login_page_is_refused() {
    let server = serve(303, "/there?next=%2Fapi", 0).await;
    let error = images(&server).get(42).send().await.unwrap_err();
    refused(&error, 303);
    let message = error.message().unwrap();
    assert!(message.contains("/there;"), "{message}");
    assert!(!message.contains("next="), "{message}");
}

#[tokio::test]
async fn a_deletion_is_not_redirected() {
    let server = serve(307, "/there", 0).await;
    let error = images(&server).delete(42).send().await.unwrap_err();
    refused(&error, 307);
}

async fn create(images: Images, upload: bool) -> Error {
    let url = "http://h/x".parse().unwrap();
    match upload {
        true => {
            images
                .create_upload("x", b"QFI\xfb".as_slice())
                .unchecked()
                .send()
                .await
        }
        false => images.create_download("x", url).send().await,
    }
    .unwrap_err()
}

#[tokio::test]
async fn a_creation_is_not_redirected() {
    for status in [301, 302, 303, 307, 308] {
        for upload in [true, false] {
            let server = MockServer::start().await;
            Mock::given(path("/api/images"))
                .respond_with(redirect(status, "/api/"))
                .expect(1)
                .mount(&server)
                .await;
            Mock::given(path("/api/"))
                .respond_with(json_answer(200, &image(42, "x")))
                .expect(0)
                .mount(&server)
                .await;
            refused(&create(images(&server), upload).await, status);
        }
    }
}

#[tokio::test]
async fn a_loop_ends_after_ten_redirects() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(redirect(302, "/api/images/42"))
        .expect(11)
        .mount(&server)
        .await;
    let error = images(&server).get(42).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Redirect);
    assert!(
        error.to_string().contains("more than 10 redirects"),
        "{error}"
    );
}

#[tokio::test]
async fn a_chain_within_the_origin_does_not_lead_out_of_it() {
    let foreign = MockServer::start().await;
    Mock::given(any())
        .respond_with(json_answer(200, &image(42, "x")))
        .expect(0)
        .mount(&foreign)
        .await;
    let server = MockServer::start().await;
    for (from, to) in [
        ("/api/images/42", "/a"),
        ("/a", "/b"),
        ("/b", &format!("{}/c", foreign.uri())),
    ] {
        Mock::given(path(from))
            .respond_with(redirect(301, to))
            .expect(1)
            .mount(&server)
            .await;
    }
    refused(&images(&server).get(42).send().await.unwrap_err(), 301);
    assert_eq!(
        targets(&server).await,
        ["GET /api/images/42", "GET /a", "GET /b"]
    );
}

#[tokio::test]
async fn a_redirect_that_lost_the_page_or_the_search_is_refused() {
    for (location, follows) in [
        ("/there", false),
        ("/there?search=x", false),
        ("/there?search=x&page=1", false),
        ("/there?page=2&search=x&more=1", true),
    ] {
        let server = MockServer::start().await;
        let redirect = ResponseTemplate::new(302).insert_header("Location", location);
        Mock::given(path("/api/images"))
            .respond_with(redirect)
            .expect(1)
            .mount(&server)
            .await;
        Mock::given(path("/there"))
            .respond_with(json_answer(200, &serde_json::json!([])))
            .expect(u64::from(follows))
            .mount(&server)
            .await;
        let list = images(&server).list().search("x").page(2);
        match list.send().await {
            Ok(_) => assert!(follows, "{location}"),
            Err(error) => assert_eq!((error.kind(), follows), (ErrorKind::Redirect, false)),
        }
    }
}
