use machine_images::testing::DjinnServer;

use crate::http::{Answer, exchange, get, send};

fn server_of(count: usize) -> DjinnServer {
    let server = DjinnServer::start().unwrap();
    server.add_images(count).unwrap();
    server
}

/// Status, the rows' first and last number and their count, and the pages of both links.
fn shape(answer: &Answer) -> (Option<(String, String)>, usize, String, String) {
    assert_eq!(answer.line, "HTTP/1.1 200 OK");
    let rows = answer.json();
    let rows = rows.as_array().unwrap();
    let name = |row: &serde_json::Value| row["name"].as_str().unwrap().to_owned();
    let ends = rows
        .first()
        .map(|first| (name(first), name(rows.last().unwrap())));
    let link = answer.header("Link").unwrap();
    let (prev, next) = link.split_once(", ").unwrap();
    let page = |link: &str, rel: &str| {
        let link = link.strip_prefix("</api/images?page=").unwrap();
        let link = link.strip_suffix(&format!(">; rel=\"{rel}\"")).unwrap();
        link.to_owned()
    };
    (ends, rows.len(), page(prev, "prev"), page(next, "next"))
}

#[track_caller]
fn check(server: &DjinnServer, query: &str, first: usize, count: usize, prev: &str, next: &str) {
    let answer = get(server, &format!("/api/images{query}"));
    let name = |index: usize| format!("image-{index:05}");
    let ends = (count > 0).then(|| (name(first), name(first + count - 1)));
    assert_eq!(
        shape(&answer),
        (ends, count, prev.to_owned(), next.to_owned()),
        "{query}"
    );
}

#[test]
fn an_empty_list_links_to_page_0() {
    let server = server_of(0);
    check(&server, "", 0, 0, "0", "0");
    let answer = get(&server, "/api/images");
    assert_eq!(answer.text(), "[]\n");
    assert_eq!(
        answer.header_names(),
        ["Content-Length", "Content-Type", "Date", "Link"]
    );
    let answer = get(&server, "/api/images?search=zzz");
    let link = r#"</api/images?page=0&search=zzz>; rel="prev", </api/images?page=0&search=zzz>; rel="next""#;
    assert_eq!(answer.header("Link"), Some(link));
}

#[test]
fn the_last_page_is_its_own_next() {
    check(&server_of(1), "", 0, 1, "1", "1");
    check(&server_of(25), "", 0, 25, "1", "1");
    let server = server_of(26);
    check(&server, "", 0, 25, "1", "2");
    check(&server, "?page=2", 25, 1, "1", "2");
}

#[test]
fn sixty_images_have_the_captured_pages() {
    let server = server_of(60);
    for first in [
        "",
        "?page=1",
        "?page=0",
        "?page=-1",
        "?page=abc",
        "?page=2.5",
        "?page=",
    ] {
        check(&server, first, 0, 25, "1", "2");
    }
    check(&server, "?page=2", 25, 25, "1", "3");
    check(&server, "?page=2&page=3", 25, 25, "1", "3");
    check(&server, "?page=3", 50, 10, "2", "3");
    check(&server, "?page=4", 0, 0, "1", "2");
    check(&server, "?page=60", 0, 0, "1", "2");
    check(&server, "?page=61", 50, 10, "2", "3");
    check(&server, "?page=99", 50, 10, "2", "3");
}

#[test]
fn links_repeat_the_parameters_sorted_and_encoded() {
    let server = server_of(60);
    for (query, link) in [
        (
            "page=2&search=img%20%26%2B%C3%A9",
            "page=3&search=img+%26%2B%C3%A9",
        ),
        ("search=nomatch", "page=2&search=nomatch"),
        ("search=", "page=2&search="),
        ("search=%25&b=~*", "b=~%2A&page=2&search=%25"),
        ("search=%zz", "page=2"),
    ] {
        let answer = get(&server, &format!("/api/images?{query}"));
        let next = format!("</api/images?{link}>; rel=\"next\"");
        assert!(
            answer.header("Link").unwrap().ends_with(&next),
            "{query}: {answer:?}"
        );
        assert_eq!(
            answer.json().as_array().unwrap().len(),
            25,
            "search narrows nothing"
        );
    }
}

#[test]
fn names_are_in_the_captured_order() {
    let server = DjinnServer::start().unwrap();
    for name in ["Zed", "abc", "ABD", "_x", "-y", "10", "9"] {
        server.add_image(name, b"QFI\xfb").unwrap();
    }
    let rows = get(&server, "/api/images").json();
    let names: Vec<&str> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["-y", "10", "9", "ABD", "Zed", "_x", "abc"]);
}

#[test]
fn the_api_can_be_at_the_root() {
    let server = DjinnServer::builder().base_path("").start().unwrap();
    server.add_images(60).unwrap();
    let answer = get(&server, "/images?page=2");
    let link = r#"</images?page=1>; rel="prev", </images?page=3>; rel="next""#;
    assert_eq!(answer.header("Link"), Some(link));
    let url = answer.json()[0]["url"].as_str().unwrap().to_owned();
    assert_eq!(url, format!("{}images/26", server.url()));
}

#[test]
fn a_path_outside_of_the_api_is_a_page() {
    let server = server_of(1);
    for path in ["/images", "/images/1", "/user", "/apix/images", "/"] {
        let answer = get(&server, path);
        assert_eq!(answer.line, "HTTP/1.1 404 Not Found", "{path}");
        assert_eq!(answer.header("Content-Type"), Some("text/html"), "{path}");
    }
    let answer = get(&server, "/api/builds");
    assert_eq!(answer.text(), "{\"message\":\"Not Found\"}\n");
}

#[test]
fn every_failure_of_authentication_is_a_404() {
    let server = DjinnServer::builder()
        .scoped_token("none", &[])
        .start()
        .unwrap();
    let id = server.add_image("a", b"QFI\xfb").unwrap();
    let token = server.token();
    for authorization in [
        String::new(),
        "Authorization: Bearer deadbeef\r\n".to_owned(),
        "Authorization: Bearer \r\n".to_owned(),
        "Authorization: Bearer none\r\n".to_owned(),
        format!("Authorization: bearer {token}\r\n"),
        format!("Authorization: Bearer {}\r\n", token.to_uppercase()),
        format!("Authorization: Bearer {token} x\r\n"),
        "Authorization: Basic Z29yZG9uLmZyZWVtYW46c2VjcmV0\r\n".to_owned(),
    ] {
        let request = format!("GET /api/images HTTP/1.1\r\nHost: t\r\n{authorization}\r\n");
        let answer = Answer::parse(&exchange(&server.url(), request.as_bytes()));
        assert_eq!(answer.line, "HTTP/1.1 404 Not Found", "{authorization}");
        assert_eq!(answer.text(), "{\"message\":\"Not Found\"}\n");
        assert_eq!(
            answer.header_names(),
            ["Content-Length", "Content-Type", "Date"]
        );
    }
    let request =
        format!("GET /api/images/{id} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer none\r\n\r\n");
    let answer = Answer::parse(&exchange(&server.url(), request.as_bytes()));
    assert_eq!(answer.status(), 200, "one image takes no scope");
}

#[test]
fn users_see_their_own_images() {
    let server = DjinnServer::builder()
        .user("eli", "eli-token")
        .start()
        .unwrap();
    let id = server.add_image("a", b"QFI\xfb").unwrap();
    for (method, path, status) in [("GET", "", 200), ("GET", "/1", 404), ("DELETE", "/1", 404)] {
        let request = format!(
            "{method} /api/images{path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer eli-token\r\n\r\n"
        );
        let answer = Answer::parse(&exchange(&server.url(), request.as_bytes()));
        assert_eq!(answer.status(), status, "{method} {path}");
    }
    assert!(server.content(id).is_some());
}

#[test]
fn odd_paths_and_methods_answer_as_captured() {
    let server = server_of(1);
    for (method, target, status) in [
        ("GET", "/api/images/", 404),
        ("GET", "/api/images/1/", 404),
        ("GET", "/api/images/abc", 404),
        ("GET", "/api/images/-1", 404),
        ("GET", "/api/images/999999", 404),
        ("GET", "/api/images/1/download", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/api/images/%31?x=1", 200),
        ("PUT", "/api/images", 405),
        ("DELETE", "/api/images", 405),
        ("POST", "/api/images/1", 405),
        ("PATCH", "/api/images/1", 405),
        ("GET", "/api/images/2147483648", 500),
    ] {
        assert_eq!(
            send(&server, method, target, "", b"").status(),
            status,
            "{method} {target}"
        );
    }
    let moved = get(&server, "/api//images/1");
    assert_eq!(moved.line, "HTTP/1.1 301 Moved Permanently");
    assert_eq!(moved.header("Location"), Some("/api/images/1"));
    let head = send(&server, "HEAD", "/api/images/1", "", b"");
    assert_eq!(
        (head.status(), head.header("Content-Length")),
        (405, Some("33"))
    );
    let missing = Answer::parse(&exchange(
        &server.url(),
        b"GET /api/images HTTP/1.1\r\n\r\n",
    ));
    assert_eq!(
        missing.line,
        "HTTP/1.1 400 Bad Request: missing required Host header"
    );
}
