use std::io::{Read, Write};
use std::time::{Duration, Instant};

use machine_images::testing::DjinnServer;

use crate::http::{Answer, QCOW2, connect, exchange, get, post_json, send, upload};

#[test]
fn an_upload_is_stored_and_shown_as_captured() {
    let server = DjinnServer::start().unwrap();
    let answer = upload(&server, "?name=debian-12&foo=bar", QCOW2);
    assert_eq!(answer.line, "HTTP/1.1 201 Created");
    assert_eq!(
        answer.header_names(),
        ["Content-Length", "Content-Type", "Date"]
    );
    let text = answer.text().to_owned();
    assert!(text.starts_with(r#"{"author":{"created_at":""#), "{text}");
    let tail = format!(
        r#","download":null,"driver":"qemu","id":1,"name":"debian-12","namespace":null,"namespace_id":null,"url":"{}/images/1","user":{{"#,
        server.url()
    );
    assert!(text.contains(&tail), "{text}");
    assert!(text.ends_with("\"user_id\":1}\n"), "{text}");
    let created = answer.json()["created_at"].as_str().unwrap().to_owned();
    let got = get(&server, "/api/images/1").json()["created_at"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        created.len() > got.len() || created == got,
        "{created} {got}"
    );
    assert!(
        created.starts_with(got.trim_end_matches('Z')),
        "{created} {got}"
    );
    assert_eq!(server.content(1).unwrap(), QCOW2);
}

#[test]
fn chunked_bodies_and_other_media_types_are_uploads() {
    let server = DjinnServer::start().unwrap();
    let token = server.token();
    let request = format!(
        "POST /api/images?name=chunked HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nQFI\r\n2\r\n\u{0}"
    );
    let mut request = request.into_bytes();
    request.pop();
    request.extend_from_slice(b"\xfb!\r\n0\r\n\r\n");
    let answer = Answer::parse(&exchange(&server.url(), &request));
    assert_eq!(answer.status(), 201);
    assert_eq!(server.content(1).unwrap(), b"QFI\xfb!");
    for (name, kind) in [
        ("octets", "Content-Type: application/octet-stream\r\n"),
        ("none", ""),
    ] {
        let answer = send(
            &server,
            "POST",
            &format!("/api/images?name={name}"),
            kind,
            QCOW2,
        );
        assert_eq!(answer.status(), 201, "{name}");
    }
}

#[test]
fn zeros_take_no_space_and_are_served() {
    let server = DjinnServer::start().unwrap();
    let mut image = b"QFI\xfb".to_vec();
    image.resize(1_000_003, 0);
    image[700_000] = 7;
    assert_eq!(upload(&server, "?name=sparse", &image).status(), 201);
    assert!(server.content(1).unwrap() == image);
    for range in [
        0..1_000_003,
        3..5,
        4..700_000,
        600_000..700_001,
        700_000..700_002,
        999_999..1_000_003,
    ] {
        let headers = format!(
            "Accept: application/x-qemu-disk\r\nRange: bytes={}-{}\r\n",
            range.start,
            range.end - 1
        );
        let answer = send(&server, "GET", "/api/images/1", &headers, b"");
        assert!(answer.body == image[range.clone()], "{range:?}");
    }
}

#[test]
fn invalid_images_are_refused_as_captured() {
    let server = DjinnServer::start().unwrap();
    server.add_image("taken", QCOW2).unwrap();
    let name = r#""name":["Name does not match ^[a-zA-Z0-9_\\-]+$"]"#;
    let required = r#""name":["Name field required","Name does not match ^[a-zA-Z0-9_\\-]+$"]"#;
    let file = r#""file":["File field required","File field required"]"#;
    let invalid = r#""file":["File not a valid QCOW2 file format"]"#;
    for (query, body, expected) in [
        ("?name=%21%21%21", QCOW2, format!("{{{name}}}\n")),
        ("?name=a.qcow2", QCOW2, format!("{{{name}}}\n")),
        ("", QCOW2, format!("{{{required}}}\n")),
        (
            "?name=taken",
            QCOW2,
            "{\"name\":[\"Name already exists\"]}\n".to_owned(),
        ),
        ("?name=empty", b"", format!("{{{file}}}\n")),
        ("?name=no", b"hello world", format!("{{{invalid}}}\n")),
        ("?name=!", b"hello world", format!("{{{invalid},{name}}}\n")),
        (
            "?name=a&namespace=a-b",
            QCOW2,
            "{\"namespace\":[\"a-b: namespace: name can only contain letters and numbers\"]}\n"
                .to_owned(),
        ),
        (
            "?name=a&namespace=blackmesa%40nobody",
            QCOW2,
            "{\"name\":[\"Name blackmesa@nobody: namespace: invalid owner\"],\
             \"namespace\":[\"Namespace blackmesa@nobody: namespace: invalid owner\"]}\n"
                .to_owned(),
        ),
    ] {
        let answer = upload(&server, query, body);
        assert_eq!(
            (answer.status(), answer.text()),
            (400, expected.as_str()),
            "{query}"
        );
    }
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = send(&server, "POST", "/api/images?name=f", form, QCOW2);
    assert_eq!(
        (answer.status(), answer.text()),
        (400, format!("{{{file}}}\n").as_str())
    );
    for body in ["{}", r#"{"name":null}"#] {
        let answer = post_json(&server, body);
        assert_eq!(answer.text(), format!("{{{file},{required}}}\n"));
    }
    let prefix = "{\"message\":\"djinn-ci.com/image/http.(*Handler).Store - \
                  djinn-ci.com/image/http/handler.go:101: ";
    let answer = post_json(&server, "{\"name\":");
    assert_eq!(
        (answer.status(), answer.text()),
        (500, format!("{prefix}unexpected EOF\"}}\n").as_str())
    );
    assert_eq!(server.image_count(), 1);
}

#[test]
fn namespaces_are_created_and_shown_as_captured() {
    let server = DjinnServer::builder()
        .user("eli", "eli-token")
        .start()
        .unwrap();
    let answer = upload(&server, "?name=a&namespace=lab/deep%40tester", QCOW2).json();
    let base = server.url().to_string();
    let namespace = &answer["namespace"];
    assert_eq!(answer["namespace_id"], 2);
    assert_eq!(
        (&namespace["name"], &namespace["path"]),
        (&"deep".into(), &"lab/deep".into())
    );
    assert_eq!(
        (&namespace["parent_id"], &namespace["root_id"]),
        (&1.into(), &1.into())
    );
    assert_eq!(namespace["url"], base);
    assert!(namespace["user"].is_null());
    let namespace = &get(&server, "/api/images/1").json()["namespace"];
    assert_eq!(
        namespace["images_url"],
        format!("{base}/n/tester/lab/deep/-/images")
    );
    assert_eq!(namespace["user"]["username"], "tester");
    assert_eq!(
        upload(&server, "?name=a&namespace=lab/deep", QCOW2).status(),
        400
    );
    assert_eq!(upload(&server, "?name=b", QCOW2).status(), 201);
    let answer = upload(&server, "?name=b&namespace=new%40eli", QCOW2);
    assert_eq!(
        answer.text(),
        "{\"namespace\":[\"Namespace permission denied\"]}\n"
    );
    let rows = get(&server, "/api/n/tester/lab/deep/-/images").json();
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert!(rows[0]["author"].is_null() && rows[0]["namespace"].is_null());
}

#[test]
fn a_truncated_body_is_a_500_and_creates_no_image() {
    let server = DjinnServer::start().unwrap();
    let token = server.token();
    let request = format!(
        "POST /api/images?name=cut HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 100000\r\n\r\nQFI"
    );
    let answer = Answer::parse(&exchange(&server.url(), request.as_bytes()));
    assert_eq!(answer.status(), 500);
    assert!(answer.text().ends_with("unexpected EOF\"}\n"), "{answer:?}");
    assert_eq!(server.image_count(), 0);
}

#[test]
fn a_bad_token_is_answered_before_the_body_has_arrived() {
    let server = DjinnServer::start().unwrap();
    let mut stream = connect(&server.url());
    let head = "POST /api/images?name=big HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer bad\r\n\
                Content-Length: 1073741824\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..64 {
        stream.write_all(&[1; 64 * 1024]).unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = Answer::parse(&answer);
    assert_eq!(
        (answer.status(), answer.header("Connection")),
        (404, Some("close"))
    );
    assert_eq!(answer.text(), "{\"message\":\"Not Found\"}\n");
}

#[test]
fn with_expect_a_bad_token_is_refused_at_once_and_a_good_one_continues() {
    let server = DjinnServer::start().unwrap();
    for (token, first) in [
        ("bad", "HTTP/1.1 404 Not Found"),
        (server.token(), "HTTP/1.1 100 Continue"),
    ] {
        let mut stream = connect(&server.url());
        let head = format!(
            "POST /api/images?name=x HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\
             Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            QCOW2.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = vec![0; 1024];
        let count = stream.read(&mut answer).unwrap();
        let answer = Answer::parse(&answer[..count]);
        assert_eq!(answer.line, first);
        if answer.status() == 404 {
            assert_eq!(answer.header("Connection"), Some("close"));
        } else {
            stream.write_all(QCOW2).unwrap();
            let mut answer = vec![0; 4096];
            let count = stream.read(&mut answer).unwrap();
            assert_eq!(Answer::parse(&answer[..count]).status(), 201);
        }
    }
}

#[test]
fn a_small_body_with_a_bad_token_keeps_the_connection() {
    let server = DjinnServer::start().unwrap();
    let request = "POST /api/images?name=x HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nQFI!";
    let answer = exchange(&server.url(), request.repeat(2).as_bytes());
    let text = String::from_utf8(answer).unwrap();
    assert_eq!(text.matches("HTTP/1.1 404 Not Found").count(), 2, "{text}");
    assert!(!text.contains("Connection"), "{text}");
}

#[test]
fn forms_with_a_bad_token_are_redirected() {
    let server = DjinnServer::start().unwrap();
    let request = "POST /api/images?name=x HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\
                   Content-Type: application/x-www-form-urlencoded\r\n\r\nx";
    let answer = Answer::parse(&exchange(&server.url(), request.as_bytes()));
    assert_eq!(
        (answer.status(), answer.header("Location")),
        (303, Some("/api/"))
    );
    assert!(answer.header("Set-Cookie").is_some());
}

#[test]
fn a_deleted_image_cannot_be_deleted_again() {
    let server = DjinnServer::start().unwrap();
    server.add_image("a", QCOW2).unwrap();
    let answer = send(&server, "DELETE", "/api/images/1", "", b"");
    assert_eq!(
        (answer.status(), answer.header_names()),
        (204, vec!["Date"])
    );
    assert_eq!(
        send(&server, "DELETE", "/api/images/1", "", b"").status(),
        404
    );
    assert_eq!(server.image_count(), 0);
}

#[test]
fn requests_are_recorded() {
    let server = DjinnServer::start().unwrap();
    upload(&server, "?name=a", QCOW2);
    post_json(&server, "{\"name\":\"b\"}");
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path()),
        ("POST", "/api/images")
    );
    assert_eq!(requests[0].target, "/api/images?name=a");
    assert_eq!(
        requests[0].header("Content-Type"),
        Some("application/x-qemu-disk")
    );
    assert_eq!(requests[0].body_received, QCOW2.len() as u64);
    assert!(requests[0].body.is_empty());
    assert_eq!(requests[0].status, Some(201));
    assert!(requests[0].body_sent > 400);
    assert_eq!(requests[1].body, b"{\"name\":\"b\"}");
    server.clear_requests();
    assert!(server.requests().is_empty());
}

#[test]
fn latency_delays_answers_and_a_drop_does_not_wait_for_clients() {
    let server = DjinnServer::builder()
        .latency(Duration::from_millis(80))
        .start()
        .unwrap();
    let begun = Instant::now();
    get(&server, "/api/images");
    assert!(begun.elapsed() >= Duration::from_millis(80));
    let mut idle = connect(&server.url());
    idle.write_all(b"GET /api").unwrap();
    let begun = Instant::now();
    drop(server);
    assert!(begun.elapsed() < Duration::from_millis(900));
}
