//! Deletion.

use machine_images::ErrorKind;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{assert_request, image, images, json_answer, only_request, targets};

#[tokio::test]
async fn a_deletion_is_one_exact_request() {
    let server = MockServer::start().await;
    Mock::given(method("DELETE"))
        .and(path("/api/images/42"))
        .respond_with(ResponseTemplate::new(204))
        .expect(1)
        .mount(&server)
        .await;
    images(&server).delete(42).send().await.unwrap();
    let headers = ["accept: application/json"];
    assert_request(
        &only_request(&server).await,
        "DELETE /api/images/42",
        &headers,
        b"",
    );
}

#[tokio::test]
async fn what_was_not_there_is_an_error() {
    let server = MockServer::start().await;
    Mock::given(method("DELETE"))
        .respond_with(json_answer(404, &json!({"message": "Not Found"})))
        .expect(1)
        .mount(&server)
        .await;
    let error = images(&server).delete(42).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFoundOrUnauthorized);
    assert_eq!(error.message(), Some("Not Found"));
    assert_eq!((error.operation(), error.attempts()), ("delete image", 1));
}

/// A server that is busy, and then knows no image to delete.
async fn forgetful() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("DELETE"))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    server
}

async fn answer(server: &MockServer, of: (&str, &str), status: u16, json: &Value) {
    Mock::given(method(of.0))
        .and(path(format!("/api{}", of.1)))
        .respond_with(json_answer(status, json))
        .expect(1)
        .mount(server)
        .await;
}

#[tokio::test]
async fn nothing_found_by_a_repeated_deletion_is_success() {
    let server = forgetful().await;
    let none = json!({"message": "Not Found"});
    answer(&server, ("DELETE", "/images/42"), 404, &none).await;
    answer(&server, ("GET", "/images/42"), 404, &none).await;
    answer(&server, ("GET", "/user"), 200, &json!({"username": "x"})).await;

    images(&server).delete(42).send().await.unwrap();

    let [user, get, delete] = [
        "GET /api/user",
        "GET /api/images/42",
        "DELETE /api/images/42",
    ];
    assert_eq!(targets(&server).await, [delete, delete, get, user]);
}

#[tokio::test]
async fn a_repeated_deletion_that_was_not_allowed_is_none() {
    let none = json!({"message": "Not Found"});
    let server = forgetful().await;
    answer(&server, ("DELETE", "/images/42"), 404, &none).await;
    answer(&server, ("GET", "/images/42"), 200, &image(42, "x")).await;
    let error = images(&server).delete(42).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFoundOrUnauthorized);
    assert_eq!(error.attempts(), 2);

    let server = forgetful().await;
    answer(&server, ("DELETE", "/images/42"), 404, &none).await;
    answer(&server, ("GET", "/images/42"), 404, &none).await;
    answer(&server, ("GET", "/user"), 404, &none).await;
    let error = images(&server).delete(42).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
}
