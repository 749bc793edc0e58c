//! What is refused before a byte is sent.

use machine_images::ErrorKind;
use machine_images::djinn::{Client, NamespacePath};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer};

use crate::support::{image, images, json_answer};

/// A server that must not be asked for anything.
async fn untouched() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(json_answer(201, &image(1, "x")))
        .expect(0)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_bad_name_is_refused_with_no_request() {
    let server = untouched().await;
    let images = images(&server);
    for name in [
        "", "!!!", "a.qcow2", "a b", "é", "a/b", "a\n", "a\0", "a%2e",
    ] {
        let upload = images
            .create_upload(name, b"QFI\xfb".as_slice())
            .unchecked()
            .send()
            .await;
        let url = "http://h/x".parse().unwrap();
        let download = images.create_download(name, url).send().await;
        for error in [upload.unwrap_err(), download.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
            assert_eq!((error.status(), error.attempts()), (None, 0));
        }
    }
}

#[tokio::test]
async fn a_url_that_no_server_takes_is_refused_with_no_request() {
    let server = untouched().await;
    for url in [
        "ftp://example.com/x",
        "ssh://root:secret@example.com/x",
        "file:///etc/passwd",
        "data:text/plain,x",
        "sftp://root@example.com/x",
        "sftp://root:@example.com/x",
    ] {
        let create = images(&server).create_download("x", url.parse().unwrap());
        let error = create.send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[test]
fn a_bad_namespace_is_no_namespace() {
    for text in [
        "", "a-b", "a//b", "/a", "a/", "a@", "@x", "a@b@c", "a b", "a.b", "é",
    ] {
        let error = text.parse::<NamespacePath>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}");
    }
}

#[tokio::test]
async fn page_0_is_refused_with_no_request() {
    let server = untouched().await;
    let error = images(&server).list().page(0).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_client_that_cannot_work_is_not_built() {
    let secret = "s3cr3t-t0k3n";
    for (base, token) in [
        ("", "x"),
        ("example.org", "x"),
        ("ftp://example.org", "x"),
        ("http://", "x"),
        ("http://user:s3cr3t-t0k3n@example.org", "x"),
        ("http://s3cr3t-t0k3n@example.org", "x"),
        ("http://example.org/?token=s3cr3t-t0k3n", "x"),
        ("http://example.org/#x", "x"),
        ("http://example.org", ""),
        ("http://example.org", "s3cr3t-t0k3n "),
        ("http://example.org", "s3cr3t-t0k3n\n"),
        ("http://example.org", "s3cr3t-t0k3n\r\nX-Evil: 1"),
        ("http://example.org", "s3cr3t-t0k3n\0"),
    ] {
        let builder = Client::builder(base).token(token);
        let shown = format!("{builder:?}");
        assert!(!shown.contains(secret), "{shown}");
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{base} {token:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(secret), "{shown}");
    }
    let error = Client::builder("http://example.org")
        .user_agent("a\nb")
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_url_that_is_too_long_for_a_request_is_refused_at_once() {
    let server = untouched().await;
    let list = images(&server).list().search("x".repeat(70_000));
    let error = list.all().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains("a URL of 700"), "{error}");
    for bytes in [&b""[..], b"x"] {
        let upload = images(&server).create_upload("x".repeat(70_000), bytes);
        let error = upload.unchecked().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}
