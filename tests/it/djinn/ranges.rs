//! One range of the contents: what is asked for, and what is not taken for it.

use std::ops::{Bound, RangeBounds};

use machine_images::djinn::Images;
use machine_images::{Content, ErrorKind, Result};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{assert_request, disk_answer, image, images, json_answer, only_request};

fn disk() -> Vec<u8> {
    (0..100).collect()
}

async fn serve(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(answer)
        .expect(1)
        .mount(&server)
        .await;
    server
}

fn part(first: usize, last: usize, total: &str) -> ResponseTemplate {
    let range = format!("bytes {first}-{last}/{total}");
    disk_answer(206, &disk()[first..=last]).insert_header("Content-Range", range.as_str())
}

async fn fetch(images: &Images, range: impl RangeBounds<u64>) -> Result<Content> {
    images.content(42).range(range).send().await
}

#[tokio::test]
async fn every_form_of_range_is_one_exact_request() {
    use Bound::{Excluded, Included, Unbounded};
    for (range, sent, first, last) in [
        ((Included(10), Excluded(20)), "bytes=10-19", 10, 19),
        ((Included(10), Included(20)), "bytes=10-20", 10, 20),
        ((Excluded(10), Excluded(20)), "bytes=11-19", 11, 19),
        ((Unbounded, Excluded(4)), "bytes=0-3", 0, 3),
        ((Included(90), Unbounded), "bytes=90-", 90, 99),
        ((Unbounded, Unbounded), "bytes=0-", 0, 99),
        // One that goes past the end is cut there.
        ((Included(90), Excluded(1000)), "bytes=90-999", 90, 99),
        (
            (Included(0), Included(u64::MAX - 1)),
            "bytes=0-18446744073709551614",
            0,
            99,
        ),
    ] {
        let server = serve(part(first, last, "100")).await;
        let content = fetch(&images(&server), range).await.unwrap();
        assert_eq!(content.length(), Some((last - first + 1) as u64), "{sent}");
        assert_eq!(content.total(), Some(100));
        assert_eq!(content.bytes().await.unwrap(), &disk()[first..=last]);
        let range = format!("range: {sent}");
        let headers = ["accept: application/x-qemu-disk", &range];
        assert_request(
            &only_request(&server).await,
            "GET /api/images/42",
            &headers,
            b"",
        );
    }
}

#[tokio::test]
async fn an_empty_range_is_refused_with_no_request() {
    use Bound::{Excluded, Included, Unbounded};
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(part(0, 3, "100"))
        .expect(0)
        .mount(&server)
        .await;
    for range in [
        (Included(5), Excluded(5)),
        (Included(5), Excluded(4)),
        (Unbounded, Excluded(0)),
        (Excluded(u64::MAX), Unbounded),
    ] {
        let error = fetch(&images(&server), range).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{range:?}");
    }
}

#[tokio::test]
async fn another_range_than_the_one_asked_for_is_refused() {
    let without = disk_answer(206, &disk()[10..20]);
    let garbage = disk_answer(206, &disk()[10..20]).insert_header("Content-Range", "bytes 10-/x");
    let short = disk_answer(206, &disk()[10..19]).insert_header("Content-Range", "bytes 10-19/100");
    for (name, answer) in [
        ("earlier", part(9, 18, "100")),
        ("later", part(11, 20, "100")),
        ("longer", part(10, 20, "100")),
        ("everything", disk_answer(200, disk())),
        ("without Content-Range", without),
        ("with a garbled Content-Range", garbage),
        ("shorter than it says", short),
    ] {
        let server = serve(answer).await;
        let error = fetch(&images(&server), 10..20).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Range, "{name}");
    }
}

#[tokio::test]
async fn less_than_a_range_is_refused_where_nobody_says_that_the_image_ends_there() {
    let server = serve(part(10, 14, "*")).await;
    let error = fetch(&images(&server), 10..20).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Range);

    let server = serve(part(10, 19, "*")).await;
    let content = fetch(&images(&server), 10..20).await.unwrap();
    assert_eq!((content.length(), content.total()), (Some(10), None));
    assert_eq!(content.bytes().await.unwrap(), &disk()[10..20]);
}

#[tokio::test]
async fn json_instead_of_a_range_is_named_for_what_it_is() {
    for status in [200, 206] {
        let server = serve(json_answer(status, &image(42, "x"))).await;
        let error = fetch(&images(&server), 10..20).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedContent);
    }
}

#[tokio::test]
async fn a_part_where_the_whole_was_asked_for_is_refused() {
    let server = serve(part(0, 49, "100")).await;
    let error = images(&server).content(42).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Range);
}

#[tokio::test]
async fn a_range_past_the_end_is_refused_with_the_servers_words() {
    let answer = ResponseTemplate::new(416)
        .set_body_raw(
            "invalid range: failed to overlap\n",
            "text/plain; charset=utf-8",
        )
        .insert_header("Content-Range", "bytes */100");
    let server = serve(answer).await;
    let error = fetch(&images(&server), 100..).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::Range, Some(416))
    );
    assert_eq!(error.message(), Some("invalid range: failed to overlap"));
    assert_eq!(error.total(), Some(100));
}

#[tokio::test]
async fn only_a_416_with_a_length_has_a_total() {
    for (status, header) in [
        (416, "bytes */*"),
        (416, "bytes"),
        (416, "items */100"),
        (400, "bytes */100"),
    ] {
        let answer = ResponseTemplate::new(status).insert_header("Content-Range", header);
        let server = serve(answer).await;
        let error = fetch(&images(&server), 100..).await.unwrap_err();
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.total(), None, "{status} {header}");
    }
}
