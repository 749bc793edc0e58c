//! The length and the version of an image's content, and ranges at its end.

use machine_images::ErrorKind;
use machine_images::testing::{DjinnServer, Fault};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer};

use crate::support::{DATE, QEMU_DISK, disk_answer, images};

#[tokio::test]
async fn stat_takes_one_request_for_one_byte() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("image", [7; 1000]).unwrap();
    let images = server.client().unwrap().images();
    let info = images.stat(id).await.unwrap();
    assert_eq!(info.length, Some(1000));
    assert_eq!(info.media_type, QEMU_DISK);
    let requests = server.requests();
    assert_eq!((requests.len(), requests[0].body_sent), (1, 1));

    let content = images.content(id).range(10..20).await.unwrap();
    assert_eq!(content.info(), &info);
    assert_eq!(content.range(), Some(10..20));
    assert_eq!((content.length(), content.total()), (Some(10), Some(1000)));
    assert_eq!(content.last_modified(), info.last_modified);
}

#[tokio::test]
async fn stat_of_an_empty_image_and_of_a_server_without_ranges() {
    let server = DjinnServer::start().unwrap();
    let empty = server.add_image("empty", b"").unwrap();
    let images = server.client().unwrap().images();
    assert_eq!(images.stat(empty).await.unwrap().length, Some(0));

    let large = server.new_image("large").content([1; 8]).length(1 << 30);
    let large = large.add().unwrap();
    server.inject(Fault::RefuseRanges.always());
    server.clear_requests();
    let info = images.stat(large).await.unwrap();
    assert_eq!(info.length, Some(1 << 30));
    assert!(server.requests()[0].body_sent < 64 << 20);
}

#[tokio::test]
async fn a_strong_etag_is_the_validator() {
    for (tag, validator) in [("\"v1\"", "\"v1\""), ("W/\"v1\"", DATE)] {
        let server = MockServer::start().await;
        let answer = disk_answer(206, b"Q").insert_header("content-range", "bytes 0-0/9");
        let answer = answer.insert_header("etag", tag);
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let info = images(&server).stat(1).await.unwrap();
        assert_eq!(info.validator.as_deref(), Some(validator));
        assert_eq!(info.length, Some(9));
    }
}

#[tokio::test]
async fn the_last_bytes_are_a_suffix() {
    let server = DjinnServer::start().unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    let id = server.add_image("image", &bytes).unwrap();
    let images = server.client().unwrap().images();
    for (length, start) in [(1, 255), (16, 240), (256, 0), (1000, 0)] {
        let content = images.content(id).suffix(length).await.unwrap();
        assert_eq!(content.range(), Some(start as u64..256), "{length}");
        assert_eq!(content.bytes().await.unwrap(), &bytes[start..]);
    }
    let error = images.content(id).suffix(0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn another_suffix_than_the_one_asked_for_is_an_error() {
    for range in ["bytes 0-3/9", "bytes 5-8/*", "bytes 4-7/9"] {
        let server = MockServer::start().await;
        let answer = disk_answer(206, b"QFI\xfb").insert_header("content-range", range);
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let error = images(&server).content(1).suffix(4).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Range, "{range}");
    }
}

#[tokio::test]
async fn the_headers_of_content_are_those_of_a_response_that_passes_it_on() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("image", [7; 1000]).unwrap();
    let images = server.client().unwrap().images();
    let info = images.stat(id).await.unwrap();
    let date = info.validator.unwrap();
    for (header, length, range) in [
        ("bytes=0-", "1000", None),
        ("bytes=5-9,20-30", "1000", None),
        ("lines=1-2", "1000", None),
        ("bytes=10-19", "10", Some("bytes 10-19/1000")),
        ("bytes=-1", "1", Some("bytes 999-999/1000")),
        ("bytes=990-5000", "10", Some("bytes 990-999/1000")),
    ] {
        let content = images.content(id).range_header(header).await.unwrap();
        let headers = content.headers();
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(text("content-length"), Some(length), "{header}");
        assert_eq!(text("content-range"), range, "{header}");
        assert_eq!(text("content-type"), Some(QEMU_DISK));
        assert_eq!(text("last-modified"), Some(&*date));
        assert_eq!(text("etag"), None);
        assert_eq!(content.bytes().await.unwrap().len().to_string(), length);
    }
    let error = images.content(id).range_header("bytes=1000-").await;
    assert_eq!(error.unwrap_err().total(), Some(1000));
}

#[tokio::test]
async fn a_part_of_an_image_whose_length_is_unknown_is_passed_on_as_a_part() {
    let server = MockServer::start().await;
    let answer = disk_answer(206, b"QFI\xfb").insert_header("content-range", "bytes 0-3/*");
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let content = images(&server).content(1).range(0..4).await.unwrap();
    assert_eq!(content.headers()["content-range"], "bytes 0-3/*");
}

#[test]
fn the_namespace_of_an_image_has_a_path() {
    use machine_images::djinn::{Namespace, NamespacePath};

    let namespace = |user: serde_json::Value| {
        let json = serde_json::json!({
            "id": 1, "user_id": 2, "name": "kernels", "path": "lab/kernels", "user": user,
        });
        let namespace: Namespace = serde_json::from_value(json).unwrap();
        NamespacePath::try_from(&namespace).unwrap().to_string()
    };
    assert_eq!(namespace(serde_json::Value::Null), "lab/kernels");
    let user = serde_json::json!({"username": "gordon", "email": "g@example.org"});
    assert_eq!(namespace(user), "lab/kernels@gordon");
}
