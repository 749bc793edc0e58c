//! One image's metadata.

use machine_images::ErrorKind;
use machine_images::djinn::{DownloadState, Driver, ImageId};
use serde_json::json;
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{assert_request, image, images, json_answer, only_request};

async fn get(body: serde_json::Value) -> machine_images::djinn::Image {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/api/images/42"))
        .respond_with(json_answer(200, &body))
        .expect(1)
        .mount(&server)
        .await;
    let got = images(&server).get(42).send().await.unwrap();
    let headers = ["accept: application/json"];
    assert_request(
        &only_request(&server).await,
        "GET /api/images/42",
        &headers,
        b"",
    );
    got
}

#[tokio::test]
async fn an_image_is_one_exact_request() {
    let got = get(image(42, "debian-12")).await;
    assert_eq!((got.id, got.name.as_str()), (ImageId::new(42), "debian-12"));
    assert_eq!(got.driver, Some(Driver::Qemu));
    assert_eq!(
        got.created_at,
        "2026-11-22T00:57:39.760155Z".parse().unwrap()
    );
    assert_eq!(got.author.unwrap().username, "gordon.freeman");
    assert_eq!(
        (got.namespace_id, got.namespace, got.download),
        (None, None, None)
    );
    assert_eq!(got.url.as_str(), "http://127.0.0.1:8080/api/images/42");
}

#[tokio::test]
async fn an_older_and_a_newer_server_are_understood() {
    let mut older = image(42, "x");
    for field in [
        "driver",
        "download",
        "namespace",
        "namespace_id",
        "author",
        "user",
    ] {
        older.as_object_mut().unwrap().remove(field);
    }
    let got = get(older).await;
    assert_eq!((got.driver, got.download), (None, None));

    let mut newer = image(42, "x");
    newer["driver"] = json!("firecracker");
    newer["checksum"] = json!({"sha256": "ab"});
    newer["download"] = json!({"source": "not a url", "error": null, "retries": 3});
    let got = get(newer.clone()).await;
    assert_eq!(got.driver, Some(Driver::Other("firecracker".into())));
    let download = got.download.as_ref().unwrap();
    assert_eq!(download.state(), DownloadState::Queued);
    let written = serde_json::to_value(&got).unwrap();
    assert_eq!(written["checksum"], newer["checksum"]);
    assert_eq!(written["download"]["retries"], 3);
    assert_eq!(written["download"]["source"], "not a url");
}

#[tokio::test]
async fn html_or_an_image_with_status_200_is_no_metadata() {
    for (media_type, kind) in [
        ("text/html; charset=utf-8", ErrorKind::UnexpectedContent),
        ("application/x-qemu-disk", ErrorKind::UnexpectedContent),
        ("application/json", ErrorKind::Decode),
    ] {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_raw("<html>", media_type);
        Mock::given(any())
            .respond_with(answer)
            .expect(1)
            .mount(&server)
            .await;
        let error = images(&server).get(42).send().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{media_type}");
        assert_eq!(error.status(), None);
        assert_eq!(error.operation(), "get image");
    }
}

#[tokio::test]
async fn an_answer_larger_than_any_json_is_refused() {
    let server = MockServer::start().await;
    let answer =
        ResponseTemplate::new(200).set_body_raw(vec![b' '; 33 * 1024 * 1024], "application/json");
    Mock::given(any())
        .respond_with(answer)
        .expect(1)
        .mount(&server)
        .await;
    let error = images(&server).get(42).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}
