//! Where a list goes on: every form of `Link`.

use futures::{StreamExt, TryStreamExt};
use machine_images::ErrorKind;
use wiremock::matchers::{any, method};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::list::ids;
use crate::support::{images, json_answer, rows, targets};

/// Serves a first page with these lines of `Link`, and a second without any.
async fn serve(server: &MockServer, lines: &[String], requests: u64) {
    let first = lines
        .iter()
        .fold(json_answer(200, &rows(1..3)), |answer, line| {
            answer.append_header("Link", line.as_str())
        });
    let second = json_answer(200, &rows(3..5));
    Mock::given(method("GET"))
        .respond_with(move |request: &Request| {
            match request.url.query_pairs().any(|(name, _)| name == "page") {
                true => second.clone(),
                false => first.clone(),
            }
        })
        .expect(requests)
        .mount(server)
        .await;
}

/// Walks over the list with these lines, and checks what is asked for.
async fn check_walk(lines: &[&str], expected: &[String]) {
    let server = MockServer::start().await;
    let lines: Vec<_> = lines
        .iter()
        .map(|line| line.replace("{server}", &server.uri()))
        .collect();
    serve(&server, &lines, expected.len() as u64).await;
    let all: Vec<_> = images(&server).list().stream().try_collect().await.unwrap();
    assert_eq!(targets(&server).await, expected, "{lines:?}");
    let last = 2 * expected.len() as i64;
    assert_eq!(ids(&all), (1..=last).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_next_page_is_found_in_every_form() {
    for (lines, query) in [
        (
            vec![r#"</api/images?page=1>; rel="prev", </api/images?page=2>; rel="next""#],
            "page=2",
        ),
        (
            vec![r#"<{server}/api/images?page=2>; rel="next""#],
            "page=2",
        ),
        (vec![r#"<?page=2>; rel=next"#], "page=2"),
        (vec![r#"<images?page=2>; rel=next"#], "page=2"),
        (
            vec![
                r#"</api/images?page=1>; rel="prev""#,
                r#"</api/images?page=2>; rel="next""#,
            ],
            "page=2",
        ),
        (
            vec![
                r#"<{server}/api/images?page=1>; rel="prev","#,
                r#"<{server}/api/images?page=2>; rel="next""#,
            ],
            "page=2",
        ),
        (
            vec![r#"</api/images?a=1,2;b&page=2>; rel="next""#],
            "a=1,2;b&page=2",
        ),
        (
            vec![r#"</api/images?page=2&q=<>; title="a, b; c"; rel="x next""#],
            "page=2&q=%3C",
        ),
        (
            vec!["garbage", r#"</api/images?page=2>; rel="next""#],
            "page=2",
        ),
        // A proxy's path is not the way to the API.
        (vec![r#"</rewritten?page=2>; rel="next""#], "page=2"),
        (vec![r#"</api/images?page=7>; rel="next""#], "page=7"),
    ] {
        let expected = [
            "GET /api/images".to_owned(),
            format!("GET /api/images?{query}"),
        ];
        check_walk(&lines, &expected).await;
    }
}

#[tokio::test]
async fn the_walk_ends_where_no_later_page_is_named() {
    for lines in [
        vec![],
        vec![r#"</api/images?page=1>; rel="prev", </api/images?page=1>; rel="next""#],
        vec![r#"</api/images?page=0>; rel="prev", </api/images?page=0>; rel="next""#],
        vec![r#"</api/images>; rel="next""#],
        vec![r#"</api/images?page=2>; rel="prev""#],
        vec![r#"</api/images?page=2>"#],
        vec!["", ",<>"],
    ] {
        check_walk(&lines, &["GET /api/images".to_owned()]).await;
    }
}

#[tokio::test]
async fn an_empty_page_is_the_last_whatever_it_links_to() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(crate::support::page(&[], 1, 2))
        .expect(1)
        .mount(&server)
        .await;
    assert!(images(&server).list().stream().next().await.is_none());
}

#[tokio::test]
async fn a_page_past_the_end_that_links_back_is_the_last() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(crate::support::page(&rows(51..61), 2, 3))
        .expect(1)
        .mount(&server)
        .await;
    let all = images(&server).list().from_page(61).stream();
    assert_eq!(all.try_collect::<Vec<_>>().await.unwrap().len(), 10);
}

#[tokio::test]
async fn a_link_to_another_origin_is_an_error_and_gets_no_request() {
    let foreign = MockServer::start().await;
    let answer = json_answer(200, &rows(3..5));
    Mock::given(any())
        .respond_with(answer)
        .expect(0)
        .mount(&foreign)
        .await;
    let other_name = foreign.uri().replace("127.0.0.1", "localhost");
    for next in [
        format!("{}/api/images?page=2", foreign.uri()),
        format!("{other_name}/api/images?page=2"),
        format!(
            "{}/images?page=2",
            foreign.uri().trim_start_matches("http:")
        ),
        "https://127.0.0.1/api/images?page=2".to_owned(),
        format!("http://user:pw@{}/images?page=2", foreign.address()),
    ] {
        let server = MockServer::start().await;
        serve(&server, &[format!(r#"<{next}>; rel="next""#)], 2).await;
        let error = images(&server).list().page(1).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{next}");
        assert_eq!(error.status(), None);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            cause.starts_with("a link of the list leads to another origin: http"),
            "{cause}"
        );
        assert!(!cause.contains("pw"), "{cause}");

        let all: Vec<_> = images(&server).list().stream().collect().await;
        assert_eq!(all.len(), 1, "the error, then the end");
        assert!(all[0].is_err());
    }
}

#[tokio::test]
async fn a_next_that_cannot_be_read_does_not_end_the_list_in_silence() {
    for next in ["?page=two", "?page=-1", "?page=2.5", "http://["] {
        let server = MockServer::start().await;
        serve(&server, &[format!(r#"<{next}>; rel="next""#)], 1).await;
        let error = images(&server).list().page(1).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{next}");
    }
}

#[tokio::test]
async fn every_parameter_survives_to_the_next_page() {
    for (next, second) in [
        // As the real server writes them: sorted and encoded anew.
        (
            "/api/images?page=2&search=img+%26%2B%C3%A9&x=1",
            "page=2&search=img+%26%2B%C3%A9&x=1",
        ),
        // As the written API's example has them: lost.
        ("/api/images?page=2", "page=2&search=img+%26%2B%C3%A9&x=1"),
        (
            "/api/images?x=1&page=2",
            "x=1&page=2&search=img+%26%2B%C3%A9",
        ),
        // What only the server knows is kept as well.
        (
            "/api/images?page=2&after=abc",
            "page=2&after=abc&search=img+%26%2B%C3%A9&x=1",
        ),
    ] {
        let server = MockServer::start().await;
        serve(&server, &[format!(r#"<{next}>; rel="next""#)], 2).await;
        let list = images(&server).list().search("img &+é").query("x", "1");
        let all: Vec<_> = list.stream().try_collect().await.unwrap();
        assert_eq!(all.len(), 4);
        let first = "GET /api/images?search=img+%26%2B%C3%A9&x=1".to_owned();
        let second = format!("GET /api/images?{second}");
        assert_eq!(targets(&server).await, [first, second], "{next}");
    }
}

#[tokio::test]
async fn a_line_that_cannot_be_read_does_not_end_the_walk_in_silence() {
    for line in [
        b"<\xff?page=2; rel=next".as_slice(),
        b"garbage",
        b"<<>>; rel=next",
        b"</api/images?page=2; rel=\"next\"",
        b",;<>\"",
    ] {
        let server = MockServer::start().await;
        let line = wiremock::http::HeaderValue::from_bytes(line).unwrap();
        let answer = ResponseTemplate::new(200).set_body_json(rows(1..3));
        Mock::given(method("GET"))
            .respond_with(answer.insert_header("Link", line))
            .expect(1)
            .mount(&server)
            .await;
        let error = images(&server).list().page(1).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
    }
}
