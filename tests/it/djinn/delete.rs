//! Deletion.

use machine_images::ErrorKind;
use serde_json::json;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{assert_request, images, json_answer, only_request, targets};

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

#[tokio::test]
async fn nothing_found_by_a_repeated_deletion_is_success() {
    let server = MockServer::start().await;
    Mock::given(method("DELETE"))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(1)
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("DELETE"))
        .respond_with(json_answer(404, &json!({"message": "Not Found"})))
        .expect(1)
        .mount(&server)
        .await;
    images(&server).delete(42).send().await.unwrap();
    assert_eq!(targets(&server).await, ["DELETE /api/images/42"; 2]);
}
