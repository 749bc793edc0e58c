//! The list: one page, all pages, all images.

use futures::{StreamExt, TryStreamExt};
use machine_images::djinn::{Client, Image};
use machine_images::{ErrorKind, Result};
use serde_json::Value;
use wiremock::matchers::{method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, Request};

use crate::support::{
    TOKEN, assert_request, builder, images, json_answer, only_request, page, rows, targets,
};

const JSON: &[&str] = &["accept: application/json"];

/// Serves `pages[0]` as page 1 and so on, each once at most, as the real server links them.
pub(crate) async fn serve(server: &MockServer, pages: &[Vec<Value>]) {
    let last = pages.len() as u64;
    for (index, items) in pages.iter().enumerate() {
        let number = index as u64 + 1;
        let mock = Mock::given(method("GET")).and(path("/api/images"));
        let mock = match number {
            1 => mock.and(query_param_is_missing("page")),
            number => mock.and(query_param("page", number.to_string())),
        };
        let answer = page(items, (number - 1).max(1), (number + 1).min(last));
        mock.respond_with(answer).expect(1).mount(server).await;
    }
}

pub(crate) fn ids(images: &[Image]) -> Vec<i64> {
    images.iter().map(|image| image.id.get()).collect()
}

#[tokio::test]
async fn a_page_is_one_exact_request() {
    let server = MockServer::start().await;
    serve(&server, &[rows(1..26), rows(26..31)]).await;
    let page = images(&server).list().page(1).send().await.unwrap();
    assert_eq!(ids(&page.items), (1..26).collect::<Vec<_>>());
    assert_eq!((page.number, page.previous, page.next), (1, None, Some(2)));
    assert_request(&only_request(&server).await, "GET /api/images", JSON, b"");

    server.reset().await;
    serve_page_2(&server).await;
    let page = images(&server).list().page(2).send().await.unwrap();
    assert_eq!(ids(&page.items), [26, 27]);
    assert_eq!((page.number, page.previous, page.next), (2, Some(1), None));
    let line = "GET /api/images?page=2";
    assert_request(&only_request(&server).await, line, JSON, b"");
}

#[tokio::test]
async fn a_second_search_replaces_the_first() {
    let server = MockServer::start().await;
    let answer = page(&rows(1..2), 1, 1);
    Mock::given(method("GET"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let list = images(&server).list().search("a").query("x", "1");
    list.search("b").page(1).await.unwrap();
    let line = "GET /api/images?x=1&search=b";
    assert_request(&only_request(&server).await, line, JSON, b"");
}

async fn serve_page_2(server: &MockServer) {
    Mock::given(query_param("page", "2"))
        .respond_with(page(&rows(26..28), 1, 2))
        .expect(1)
        .mount(server)
        .await;
}

#[tokio::test]
async fn the_base_has_a_path_or_a_slash_or_neither() {
    for (base, line) in [
        ("", "GET /images"),
        ("/", "GET /images"),
        ("/api", "GET /api/images"),
        ("/a/b/", "GET /a/b/images"),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .respond_with(page(&[], 0, 0))
            .expect(1)
            .mount(&server)
            .await;
        let client = Client::builder(server.uri() + base).token(TOKEN).build();
        client
            .unwrap()
            .images()
            .list()
            .page(1)
            .send()
            .await
            .unwrap();
        assert_request(&only_request(&server).await, line, JSON, b"");
    }
}

#[tokio::test]
async fn without_a_token_no_authorization_is_sent() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(page(&[], 0, 0))
        .expect(1)
        .mount(&server)
        .await;
    let client = Client::builder(server.uri()).user_agent("mirror/7").build();
    client
        .unwrap()
        .images()
        .list()
        .page(1)
        .send()
        .await
        .unwrap();
    let request = only_request(&server).await;
    let mut names: Vec<_> = request.headers.keys().map(|name| name.as_str()).collect();
    names.sort();
    assert_eq!(names, ["accept", "host", "user-agent"]);
    assert_eq!(request.headers["user-agent"], "mirror/7");
}

#[tokio::test]
async fn all_images_come_with_one_request_a_page() {
    let server = MockServer::start().await;
    serve(&server, &[rows(1..26), rows(26..51), rows(51..61)]).await;
    let all: Vec<_> = images(&server).list().stream().try_collect().await.unwrap();
    assert_eq!(ids(&all), (1..61).collect::<Vec<_>>());
    let lines = ["", "?page=2", "?page=3"].map(|query| format!("GET /api/images{query}"));
    assert_eq!(targets(&server).await, lines);
}

#[tokio::test]
async fn the_next_page_is_asked_for_only_when_it_is_polled_for() {
    let server = MockServer::start().await;
    serve(&server, &[rows(1..26), rows(26..27)]).await;
    let mut all = images(&server).list().stream();
    assert_eq!(targets(&server).await.len(), 0, "before the first poll");
    for _ in 0..25 {
        all.next().await.unwrap().unwrap();
    }
    assert_eq!(targets(&server).await.len(), 1, "after 25 images");
    assert_eq!(all.next().await.unwrap().unwrap().id.get(), 26);
    assert!(all.next().await.is_none());
    assert_eq!(targets(&server).await.len(), 2);
}

#[tokio::test]
async fn a_limit_ends_the_stream_and_asks_for_no_page_too_many() {
    for (limit, requests) in [(0, 0), (1, 1), (25, 1), (26, 2), (30, 2), (1000, 2)] {
        let server = MockServer::start().await;
        let (first, second) = (page(&rows(1..26), 1, 2), page(&rows(26..31), 1, 2));
        Mock::given(query_param_is_missing("page"))
            .respond_with(first)
            .expect(requests.min(1))
            .mount(&server)
            .await;
        Mock::given(query_param("page", "2"))
            .respond_with(second)
            .expect(requests.saturating_sub(1))
            .mount(&server)
            .await;
        let all = images(&server).list().limit(limit).stream();
        let all: Vec<_> = all.try_collect().await.unwrap();
        assert_eq!(all.len() as u64, limit.min(30), "limit {limit}");
    }
}

#[tokio::test]
async fn an_image_that_moved_to_the_next_page_comes_once() {
    let server = MockServer::start().await;
    serve(&server, &[rows(1..26), rows(20..45), rows(44..47)]).await;
    let all: Vec<_> = images(&server).list().stream().try_collect().await.unwrap();
    assert_eq!(ids(&all), (1..47).collect::<Vec<_>>());
}

#[tokio::test]
async fn pages_show_the_list_as_it_is() {
    let server = MockServer::start().await;
    serve(&server, &[rows(1..26), rows(20..24)]).await;
    let pages = images(&server).list().pages();
    let pages: Vec<_> = pages.try_collect().await.unwrap();
    let counts: Vec<_> = pages
        .iter()
        .map(|page| (page.number, page.items.len()))
        .collect();
    assert_eq!(counts, [(1, 25), (2, 4)]);
}

#[tokio::test]
async fn a_list_without_end_ends_at_the_most_pages() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(|request: &Request| {
            let mut pairs = request.url.query_pairs();
            let number = pairs.find(|(name, _)| name == "page");
            let number: u64 = number.map_or(1, |(_, text)| text.parse().unwrap());
            let id = number as i64;
            page(&rows(id..id + 1), number, number + 1)
        })
        .expect(7)
        .mount(&server)
        .await;
    let images = builder(&server).max_pages(7).build().unwrap().images();
    let mut all = images.list().stream();
    for id in 1..8 {
        assert_eq!(all.next().await.unwrap().unwrap().id.get(), id);
    }
    let error = all.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(
        error.to_string(),
        "list images: the list has more than 7 pages"
    );
    assert!(all.next().await.is_none());
}

#[tokio::test]
async fn a_walk_that_fails_yields_what_it_had_then_the_error_then_nothing() {
    let server = MockServer::start().await;
    Mock::given(query_param_is_missing("page"))
        .respond_with(page(&rows(1..26), 1, 2))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(query_param("page", "2"))
        .respond_with(json_answer(500, &serde_json::json!({"message": "no"})))
        .expect(1)
        .mount(&server)
        .await;
    let all: Vec<Result<Image>> = images(&server).list().stream().collect().await;
    assert_eq!(all.len(), 26);
    assert!(all[..25].iter().all(Result::is_ok));
    let error = all[25].as_ref().unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::Server, Some(500))
    );
}

#[tokio::test]
async fn a_page_that_is_no_list_of_images_is_not_taken_for_an_empty_one() {
    for (body, kind) in [
        (&b"{\"message\":\"Not Found\"}"[..], ErrorKind::Decode),
        (b"[{\"id\":1}]", ErrorKind::Decode),
        (b"[", ErrorKind::Decode),
        (b"", ErrorKind::Decode),
        (b"null", ErrorKind::Decode),
    ] {
        let server = MockServer::start().await;
        let answer = wiremock::ResponseTemplate::new(200);
        Mock::given(method("GET"))
            .respond_with(answer.set_body_raw(body, "application/json"))
            .expect(1)
            .mount(&server)
            .await;
        let error = images(&server).list().page(1).send().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{}", String::from_utf8_lossy(body));
        assert_eq!(error.operation(), "list images");
    }
}
