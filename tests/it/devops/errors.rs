//! What a refusal becomes, whichever call it is the answer to.

use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use machine_images::devops::{Images, NewImage};
use machine_images::{Error, ErrorKind, Result};
use wiremock::MockServer;

use super::{answering, images};

const JSON: &str = "application/json";
const HTML: &str = "<html><body><h1>Sign in</h1></body></html>";

/// Every call, by name.
fn calls(images: &Images) -> [(&'static str, BoxFuture<'static, Result<()>>); 6] {
    let new = NewImage::new("ami-1", "ec2", "ec2-user", "debian");
    let (list, stream) = (images.list().send(), images.list().stream());
    let (get, create) = (images.get("ami-1").send(), images.create(new).send());
    let update = images.update("ami-1").name("x").send();
    let delete = images.delete("ami-1").send();
    let streamed = stream.collect::<Vec<_>>().map(|mut items| {
        assert_eq!(items.len(), 1);
        items.remove(0).map(drop)
    });
    [
        ("list images", list.map(|answer| answer.map(drop)).boxed()),
        ("list images", streamed.boxed()),
        ("get image", get.map(|answer| answer.map(drop)).boxed()),
        (
            "create image",
            create.map(|answer| answer.map(drop)).boxed(),
        ),
        (
            "update image",
            update.map(|answer| answer.map(drop)).boxed(),
        ),
        (
            "delete image",
            delete.map(|answer| answer.map(drop)).boxed(),
        ),
    ]
}

/// The error of every call, each on a server of its own that gives this answer once.
async fn errors(status: u16, content_type: &str, body: &str) -> Vec<(Error, MockServer)> {
    let mut errors = Vec::new();
    for call in 0..6 {
        let server = answering(status, content_type, body).await;
        let mut calls = calls(&images(&server)).into_iter();
        let (operation, answer) = calls.nth(call).unwrap();
        let error = answer.await.unwrap_err();
        assert_eq!(error.operation(), operation);
        assert_eq!(error.attempts(), 1);
        assert!(error.url().unwrap().starts_with(&server.uri()));
        errors.push((error, server));
    }
    errors
}

/// Asserts kind, status and message of every call's error.
async fn assert_refused(
    (status, content_type, body): (u16, &str, &str),
    kind: ErrorKind,
    message: Option<&str>,
) {
    for (error, _server) in errors(status, content_type, body).await {
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.status(), Some(status), "{error}");
        assert_eq!(error.message(), message, "{error}");
        assert_eq!(error.fields(), None);
        let shown = match message {
            Some(message) => format!("the server answered {status}: {message} ("),
            None => format!("the server answered {status} ("),
        };
        assert!(error.to_string().contains(&shown), "{error}");
    }
}

#[tokio::test]
async fn an_invalid_record() {
    let message = "Parameter 'provider' must be a not empty string";
    let body = format!(r#"{{"message":"{message}"}}"#);
    assert_refused((400, JSON, &body), ErrorKind::Rejected, Some(message)).await;
}

#[tokio::test]
async fn an_image_in_use_is_told_by_the_servers_words() {
    let message = "Deleting is forbidden: Image is used in 'prod'";
    let server = answering(400, JSON, &format!(r#"{{"message":"{message}"}}"#)).await;
    let error = images(&server).delete("ami-1").send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.status(), Some(400));
    assert_eq!(error.message(), Some(message));
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_bad_login_or_a_missing_privilege() {
    let message = "Unauthorized. Check your login, password and privileges";
    let body = format!(r#"{{"message":"{message}"}}"#);
    assert_refused((401, JSON, &body), ErrorKind::Unauthorized, Some(message)).await;
}

#[tokio::test]
async fn an_unknown_image() {
    let message = "Image 'ami-1' does not exist";
    let body = format!(r#"{{"message":"{message}"}}"#);
    assert_refused((404, JSON, &body), ErrorKind::NotFound, Some(message)).await;
}

#[tokio::test]
async fn an_unknown_provider() {
    let body = r#"{"message":"Invalid provider 'x'"}"#;
    let server = answering(404, JSON, body).await;
    let list = images(&server).list().provider("x");
    let error = list.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.message(), Some("Invalid provider 'x'"));
}

#[tokio::test]
async fn an_unknown_route() {
    let answer = (404, "text/plain", "Not found");
    assert_refused(answer, ErrorKind::NotFound, Some("Not found")).await;
}

#[tokio::test]
async fn a_refused_accept_header() {
    let message = "Accept header should contain 'application/json' type";
    let body = format!(r#"{{"message":"{message}"}}"#);
    let kind = ErrorKind::UnexpectedStatus;
    assert_refused((406, JSON, &body), kind, Some(message)).await;
}

#[tokio::test]
async fn a_refused_content_type() {
    let message = "Content-Type should be equal to 'application/json'";
    let body = format!(r#"{{"message":"{message}"}}"#);
    let kind = ErrorKind::UnexpectedStatus;
    assert_refused((415, JSON, &body), kind, Some(message)).await;
}

#[tokio::test]
async fn a_failed_server() {
    let body = r#"{"message":"Mongo::ConnectionFailure"}"#;
    let message = Some("Mongo::ConnectionFailure");
    assert_refused((500, JSON, body), ErrorKind::Server, message).await;
    for (error, _server) in errors(500, JSON, body).await {
        assert!(!error.is_retryable(), "the service itself has refused it");
    }
}

#[tokio::test]
async fn a_failed_server_without_words() {
    assert_refused((500, "text/plain", ""), ErrorKind::Server, None).await;
}

#[tokio::test]
async fn the_html_of_a_proxy() {
    for (status, kind) in [
        (401, ErrorKind::Unauthorized),
        (403, ErrorKind::Forbidden),
        (404, ErrorKind::NotFound),
        (503, ErrorKind::Server),
    ] {
        assert_refused((status, "text/html", HTML), kind, None).await;
    }
}

#[tokio::test]
async fn html_that_pretends_to_be_a_success() {
    for (error, _server) in errors(200, "text/html; charset=utf-8", HTML).await {
        assert_eq!(error.kind(), ErrorKind::UnexpectedContent);
        assert_eq!(error.status(), None);
        assert!(error.to_string().contains("the answer is text/html"));
    }
}

#[tokio::test]
async fn json_that_is_not_the_apis() {
    for body in [r#"{"id":"ami"#, "", "17", r#""Created""#, "null"] {
        for (error, _server) in errors(200, JSON, body).await {
            assert_eq!(error.kind(), ErrorKind::Decode, "{body}: {error}");
            assert_eq!(error.status(), None);
        }
    }
}

#[tokio::test]
async fn no_id_leads_elsewhere() {
    let server = MockServer::start().await;
    let images = images(&server);
    for id in ["", ".", ".."] {
        let new = NewImage::new(id, "ec2", "ec2-user", "debian");
        for error in [
            images.get(id).send().await.map(drop),
            images.create(new).send().await.map(drop),
            images.update(id).name("x").send().await.map(drop),
            images.delete(id).send().await.map(drop),
        ] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.attempts(), 0);
        }
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}
