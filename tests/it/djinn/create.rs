//! Creation, both ways: the request to the byte, and what the answer becomes.

use machine_images::ErrorKind;
use machine_images::djinn::ImageId;
use serde_json::{Value, json};
use url::Url;
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{assert_request, image, images, json_answer, only_request};

const DISK: &[u8] = b"QFI\xfb and the rest";

async fn serve(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/images"))
        .respond_with(answer)
        .expect(1)
        .mount(&server)
        .await;
    server
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_upload_is_one_exact_request() {
    let headers = [
        "accept: application/json",
        "content-length: 17",
        "content-type: application/x-qemu-disk",
    ];
    // 201 is what servers send, 200 what the written API has.
    for status in [201, 200] {
        let server = serve(json_answer(status, &image(7, "debian-12"))).await;
        let created = images(&server).create_upload("debian-12", DISK).unchecked();
        assert_eq!(created.send().await.unwrap().id, ImageId::new(7));
        let line = "POST /api/images?name=debian-12";
        assert_request(&only_request(&server).await, line, &headers, DISK);
    }
    let server = serve(json_answer(201, &image(7, "x"))).await;
    let namespace = "blackmesa/lab@gordon.freeman".parse().unwrap();
    let upload = images(&server)
        .create_upload("x", DISK)
        .unchecked()
        .namespace(namespace);
    upload.send().await.unwrap();
    let line = "POST /api/images?name=x&namespace=blackmesa%2Flab%40gordon.freeman";
    assert_request(&only_request(&server).await, line, &headers, DISK);
}

#[tokio::test]
async fn a_download_is_one_exact_request() {
    let source = "http://example.org/Alpine.qcow2?Token=A&b=%20c";
    for (namespace, body) in [
        (None, json!({"name": "alpine", "download_url": source})),
        (
            Some("lab@eli.vance"),
            json!({"name": "alpine", "namespace": "lab@eli.vance", "download_url": source}),
        ),
    ] {
        let server = serve(json_answer(201, &image(8, "alpine"))).await;
        let mut create = images(&server).create_download("alpine", url(source));
        if let Some(namespace) = namespace {
            create = create.namespace(namespace.parse().unwrap());
        }
        let created = create.send().await.unwrap();
        assert_eq!((created.id, created.download), (ImageId::new(8), None));
        let request = only_request(&server).await;
        let length = format!("content-length: {}", request.body.len());
        let headers = [
            "accept: application/json",
            "content-type: application/json",
            &length,
        ];
        assert_request(&request, "POST /api/images", &headers, &request.body);
        assert_eq!(
            serde_json::from_slice::<Value>(&request.body).unwrap(),
            body
        );
    }
}

#[tokio::test]
async fn what_a_server_says_of_fields_is_kept_by_field() {
    let refusal = json!({
        "name": ["Name already exists"],
        "file": ["File field required", "File field required"],
        "Name": ["json: cannot unmarshal number"],
    });
    for upload in [true, false] {
        let server = serve(json_answer(400, &refusal)).await;
        let images = images(&server);
        let error = match upload {
            true => images.create_upload("x", DISK).unchecked().send().await,
            false => images.create_download("x", url("http://h/x")).send().await,
        }
        .unwrap_err();
        assert_eq!(
            (error.kind(), error.status()),
            (ErrorKind::NameTaken, Some(400))
        );
        let fields = serde_json::to_value(error.fields().unwrap()).unwrap();
        assert_eq!(fields, refusal);
        assert_eq!(error.message(), None);
        let text = error.to_string();
        assert!(text.contains("\"x\" exists already"), "{text}");
    }
}

#[tokio::test]
async fn a_success_that_cannot_be_read_is_an_error() {
    for (answer, kind) in [
        (ResponseTemplate::new(201), ErrorKind::Decode),
        (json_answer(201, &json!({"id": 1})), ErrorKind::Decode),
        (
            ResponseTemplate::new(200).set_body_raw("<html>", "text/html"),
            ErrorKind::UnexpectedContent,
        ),
    ] {
        let server = serve(answer).await;
        let error = images(&server)
            .create_upload("x", DISK)
            .unchecked()
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.operation(), "create image");
    }
}

#[tokio::test]
async fn a_bad_token_and_a_full_proxy_are_told_apart() {
    for (status, body, kind) in [
        (
            404,
            r#"{"message":"Not Found"}"#,
            ErrorKind::NotFoundOrUnauthorized,
        ),
        (413, "<html>413</html>", ErrorKind::TooLarge),
        (401, "", ErrorKind::Unauthorized),
        (403, "", ErrorKind::Forbidden),
        (429, "", ErrorKind::RateLimited),
    ] {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(status).set_body_string(body);
        Mock::given(any())
            .respond_with(answer)
            .expect(1)
            .mount(&server)
            .await;
        let error = images(&server)
            .create_upload("x", DISK)
            .unchecked()
            .send()
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.status()), (kind, Some(status)));
    }
}
