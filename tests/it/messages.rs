//! What a person reads when something fails: what was done, to what, what came back, what to try.

use std::time::Duration;

use machine_images::djinn::{Client, Images};
use machine_images::testing::{DjinnServer, Fault, RetryAfter};
use machine_images::{Error, ErrorKind, RetryPolicy};

const DISK: &[u8] = include_bytes!("../data/disk.qcow2");

fn client(server: &DjinnServer, token: &str) -> Client {
    let policy = RetryPolicy::default();
    let policy = policy.retries(2).first_delay(Duration::from_millis(1));
    let client = Client::builder(server.url()).token(token).retry(policy);
    client.build().unwrap()
}

fn site() -> (DjinnServer, Images) {
    let server = DjinnServer::start().unwrap();
    let images = client(&server, server.token()).images();
    (server, images)
}

/// The message and the reason behind it, as a program prints them.
fn lines(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    let mut count = 0;
    while let Some(reason) = source {
        text += &format!(": {reason}");
        source = reason.source();
        count += 1;
    }
    assert!(count <= 1, "{count} lines of reason: {text}");
    text
}

#[tokio::test]
async fn a_message_names_what_was_done_to_what() {
    let (server, images) = site();
    let id = server.add_image("web", DISK).unwrap();
    let failures = [
        (
            images.get(999).send().await.unwrap_err(),
            "get image 999: not found, or the token is wrong (404 Not Found)",
        ),
        (
            images.delete(999).send().await.unwrap_err(),
            "delete image 999: not found, or the token is wrong or lacks image:write (404 Not Found)",
        ),
        (
            images.create_upload("web", DISK).send().await.unwrap_err(),
            "create image \"web\": a name must be unique: \"web\" exists already \
             (400 Bad Request)",
        ),
        (
            images.create_upload("a b", DISK).send().await.unwrap_err(),
            "create image \"a b\": the name \"a b\" may contain only ASCII letters, digits, '_' and '-'",
        ),
        (
            images.content(id).range(5..5).send().await.unwrap_err(),
            "get content of image 1: the range is empty",
        ),
    ];
    for (error, text) in &failures {
        assert_eq!(lines(error), *text);
    }
    assert_eq!(failures[2].0.kind(), ErrorKind::NameTaken);
}

#[cfg(feature = "fs")]
#[tokio::test]
async fn a_message_names_the_file() {
    let (server, images) = site();
    let id = server.add_image("web", DISK).unwrap();
    let save = images.save(id, "/nowhere/x.qcow2").await;
    assert_eq!(
        lines(&save.unwrap_err()),
        "save image 1 to /nowhere/x.qcow2: cannot write /nowhere/x.qcow2: \
         /nowhere/x.qcow2.part: No such file or directory (os error 2)"
    );
    let path = std::path::Path::new("/nowhere/y.qcow2");
    let upload = images.create_upload("new", path).send().await;
    assert_eq!(
        lines(&upload.unwrap_err()),
        "create image \"new\": the source of the upload failed: /nowhere/y.qcow2: \
         No such file or directory (os error 2)"
    );
}

#[tokio::test]
async fn a_message_says_how_often_for_how_long_and_what_the_server_asks() {
    let (server, images) = site();
    server.inject(Fault::status(503).always());
    let error = images.get(42).send().await.unwrap_err();
    let shown = lines(&error);
    let text = "get image 42: 503 Service Unavailable after 3 attempts in ";
    assert!(shown.starts_with(text) && shown.ends_with(" ms"), "{shown}");
    assert_eq!(error.attempts(), 3);
    assert!(error.elapsed() > Duration::ZERO);

    server.clear_faults();
    let retry_after = Some(RetryAfter::Seconds(90));
    server.inject(Fault::Status {
        status: 503,
        retry_after,
    });
    let error = images.get(42).send().await.unwrap_err();
    let text = "get image 42: 503 Service Unavailable; the server asks to wait 90 s";
    assert_eq!(lines(&error), text);
}

#[tokio::test]
async fn a_message_of_the_network_has_one_reason() {
    let client = Client::builder("http://127.0.0.1:1").retry(RetryPolicy::none());
    let images = client.build().unwrap().images();
    let error = images.list().page(1).send().await.unwrap_err();
    let text = "list images: cannot connect to 127.0.0.1:1: Connection refused (os error 111)";
    assert_eq!(lines(&error), text);
    // As a `main` prints it that returns the error.
    assert_eq!(
        format!("{error:?}"),
        format!("{text} (connect, http://127.0.0.1:1/images)")
    );
}

#[tokio::test]
async fn another_404_asks_for_the_base_url() {
    let (server, images) = site();
    server.inject(Fault::Html { status: 404 });
    let error = images.list().page(1).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownRoute);
    let text = "list images: no such route: is the base URL right? (404 Not Found)";
    assert_eq!(lines(&error), text);
}

#[tokio::test]
async fn a_list_is_not_found_only_in_a_namespace() {
    let (server, images) = site();
    let list = client(&server, "wr0ng").images().list();
    let error = list.all().await.unwrap_err();
    let text = "list images: the token is wrong or lacks image:read (404 Not Found)";
    assert_eq!(lines(&error), text);
    let list = images.list().namespace("lab@tester".parse().unwrap());
    let error = list.all().await.unwrap_err();
    let text = "list images: no such namespace, or the token is wrong or lacks namespace:read \
                (404 Not Found)";
    assert_eq!(lines(&error), text);
}

#[tokio::test]
async fn a_bad_token_is_told_from_a_missing_image() {
    let (server, _) = site();
    let user = client(&server, server.token()).check().await.unwrap();
    assert_eq!(user.username, "tester");
    let error = client(&server, "wr0ng").check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let text = "check login: the token or the base URL is wrong (404 Not Found)";
    assert_eq!(lines(&error), text);
    server.inject(Fault::Html { status: 404 }.on("GET", "/user"));
    let error = client(&server, server.token()).check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownRoute);
}
