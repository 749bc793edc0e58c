//! What is sent again, and what that means.

use std::time::Duration;

use machine_images::devops::{Images, NewImage};
use machine_images::{ErrorKind, RetryPolicy};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::builder;

fn patient(server: &MockServer) -> Images {
    let policy = RetryPolicy::default()
        .retries(3)
        .first_delay(Duration::from_millis(1));
    builder(server).retry(policy).build().unwrap().images()
}

fn json(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, "application/json")
}

/// A server that fails once, in the manner of a proxy, and then answers.
async fn failing_once(verb: &str, then: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method(verb))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(1)
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method(verb))
        .respond_with(then)
        .expect(1)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_list_and_an_image_are_asked_for_again() {
    let server = failing_once("GET", json(200, "[]")).await;
    assert!(patient(&server).list().await.unwrap().is_empty());
    let image = r#"{"id":"a","provider":"p","remote_user":"u","name":"n"}"#;
    let server = failing_once("GET", json(200, image)).await;
    assert_eq!(patient(&server).get("a").send().await.unwrap().name, "n");
}

#[tokio::test]
async fn an_update_is_sent_again_as_it_was() {
    let server = failing_once("PUT", json(200, r#"{"message":"Updated"}"#)).await;
    let update = patient(&server).update("a").name("n").remote_user("u");
    let updated = update.send().await.unwrap();
    assert_eq!(updated.message.as_deref(), Some("Updated"));
    for request in server.received_requests().await.unwrap() {
        assert_eq!(request.body, br#"{"remote_user":"u","name":"n"}"#);
        assert_eq!(request.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn a_creation_is_not_sent_again() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(503))
        .expect(1)
        .mount(&server)
        .await;
    let new = NewImage::new("a", "p", "u", "n");
    let error = patient(&server).create(new).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    assert_eq!(error.attempts(), 1);
}

#[tokio::test]
async fn a_repeated_deletion_that_finds_nothing_is_done() {
    let server = failing_once("DELETE", json(404, r#"{"message":"No image"}"#)).await;
    patient(&server).delete("a").send().await.unwrap();
}

#[tokio::test]
async fn a_repeated_deletion_that_finds_no_route_is_not() {
    let unknown = ResponseTemplate::new(404).set_body_raw("Not found", "text/plain");
    let server = failing_once("DELETE", unknown).await;
    let error = patient(&server).delete("a").send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownRoute);
    assert_eq!(error.attempts(), 2);
}

#[tokio::test]
async fn showing_nothing_twice_is_no_success() {
    let server = failing_once("GET", json(404, r#"{"message":"No image"}"#)).await;
    let error = patient(&server).get("a").send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.message(), Some("No image"));
}
