use machine_images::testing::DjinnServer;

use crate::http::{Answer, get, send};

const KIND: &str = "application/x-qemu-disk";

/// As long as the image of the captures.
fn image() -> Vec<u8> {
    let mut image = b"QFI\xfb".to_vec();
    image.extend((4..196_616_u32).map(|index| (index % 251) as u8));
    image
}

fn server() -> DjinnServer {
    let server = DjinnServer::start().unwrap();
    server.add_image("getme", image()).unwrap();
    server
}

fn content(server: &DjinnServer, headers: &str) -> Answer {
    let headers = format!("Accept: {KIND}\r\n{headers}");
    send(server, "GET", "/api/images/1", &headers, b"")
}

#[test]
fn only_the_exact_media_type_gets_the_content() {
    let server = server();
    for (accept, is_content) in [
        ("Accept: application/x-qemu-disk\r\n", true),
        ("Accept: application/x-qemu-disk \r\n", true),
        (
            "Accept: application/x-qemu-disk\r\nAccept: application/json\r\n",
            true,
        ),
        (
            "Accept: application/json\r\nAccept: application/x-qemu-disk\r\n",
            false,
        ),
        ("Accept: application/x-qemu-disk, */*\r\n", false),
        ("Accept: application/x-qemu-disk;q=1\r\n", false),
        ("Accept: Application/X-Qemu-Disk\r\n", false),
        ("Accept: */*\r\n", false),
        ("", false),
    ] {
        let answer = send(&server, "GET", "/api/images/1", accept, b"");
        assert_eq!(answer.status(), 200);
        let kind = if is_content {
            KIND
        } else {
            "application/json; charset=utf-8"
        };
        assert_eq!(answer.header("Content-Type"), Some(kind), "{accept}");
    }
}

#[test]
fn the_whole_content_has_the_captured_headers() {
    let server = server();
    let answer = content(&server, "Accept-Encoding: gzip\r\n");
    assert_eq!(
        answer.header_names(),
        [
            "Accept-Ranges",
            "Content-Length",
            "Content-Type",
            "Date",
            "Last-Modified"
        ]
    );
    assert_eq!(answer.header("Content-Length"), Some("196616"));
    assert!(answer.body == image());
    assert_eq!(server.requests()[0].body_sent, 196_616);
}

#[test]
fn ranges_are_answered_as_captured() {
    let server = server();
    for (range, expected) in [
        ("bytes=0-3", 0..4),
        ("bytes= 0-3", 0..4),
        ("bytes=100-199", 100..200),
        ("bytes=196600-", 196_600..196_616),
        ("bytes=196600-999999", 196_600..196_616),
        ("bytes=-8", 196_608..196_616),
        ("bytes=-99999999", 0..196_616),
        ("bytes=0-196615", 0..196_616),
    ] {
        let answer = content(&server, &format!("Range: {range}\r\n"));
        assert_eq!(answer.line, "HTTP/1.1 206 Partial Content", "{range}");
        let header = format!("bytes {}-{}/196616", expected.start, expected.end - 1);
        assert_eq!(
            answer.header("Content-Range"),
            Some(header.as_str()),
            "{range}"
        );
        assert_eq!(answer.header("Accept-Ranges"), Some("bytes"));
        assert!(answer.body == image()[expected], "{range}");
    }
    let json = send(&server, "GET", "/api/images/1", "Range: bytes=0-3\r\n", b"");
    assert_eq!(json.status(), 200);
}

#[test]
fn several_ranges_are_multipart_and_too_many_are_the_whole_content() {
    let server = server();
    let answer = content(&server, "Range: bytes=0-100,50-200\r\n");
    assert_eq!(
        (answer.status(), answer.header("Content-Length")),
        (206, Some("603"))
    );
    let kind = answer.header("Content-Type").unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let head = format!(
        "--{boundary}\r\nContent-Range: bytes 0-100/196616\r\nContent-Type: {KIND}\r\n\r\n"
    );
    assert!(answer.body.starts_with(head.as_bytes()));
    assert!(
        answer
            .body
            .ends_with(format!("\r\n--{boundary}--\r\n").as_bytes())
    );
    assert_eq!(answer.body.len(), 603);
    let answer = content(&server, "Range: bytes=0-196615,0-196615\r\n");
    assert_eq!((answer.status(), answer.body.len()), (200, 196_616));
}

#[test]
fn unsatisfiable_ranges_are_a_416() {
    let server = server();
    for (range, text, content_range) in [
        (
            "bytes=196616-",
            "invalid range: failed to overlap\n",
            Some("bytes */196616"),
        ),
        ("bytes=abc", "invalid range\n", None),
        ("items=0-3", "invalid range\n", None),
        ("bytes=9-3", "invalid range\n", None),
    ] {
        let answer = content(&server, &format!("Range: {range}\r\n"));
        assert_eq!(answer.line, "HTTP/1.1 416 Requested Range Not Satisfiable");
        assert_eq!(answer.text(), text);
        assert_eq!(answer.header("Content-Range"), content_range);
        assert_eq!(
            answer.header("Content-Type"),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        assert!(answer.header("Last-Modified").is_some());
    }
}

#[test]
fn conditional_requests_are_answered_as_captured() {
    let server = server();
    let modified = content(&server, "")
        .header("Last-Modified")
        .unwrap()
        .to_owned();
    let old = "Mon, 01 Jan 2024 00:00:00 GMT";
    for (headers, status) in [
        (format!("Range: bytes=0-3\r\nIf-Range: {modified}\r\n"), 206),
        (format!("Range: bytes=0-3\r\nIf-Range: {old}\r\n"), 200),
        ("Range: bytes=0-3\r\nIf-Range: \"tag\"\r\n".to_owned(), 200),
        (format!("If-Modified-Since: {modified}\r\n"), 304),
        (format!("If-Modified-Since: {old}\r\n"), 200),
        (format!("If-Unmodified-Since: {old}\r\n"), 412),
        ("If-Match: \"x\"\r\n".to_owned(), 412),
        ("If-Match: *\r\n".to_owned(), 200),
        ("If-None-Match: *\r\n".to_owned(), 304),
    ] {
        assert_eq!(content(&server, &headers).status(), status, "{headers}");
    }
    let answer = content(&server, &format!("If-Modified-Since: {modified}\r\n"));
    assert_eq!(answer.header_names(), ["Date", "Last-Modified"]);
    let answer = content(&server, "If-Match: \"x\"\r\n");
    assert_eq!(
        answer.header_names(),
        ["Content-Length", "Content-Type", "Date", "Last-Modified"]
    );
}

#[test]
fn content_is_read_while_it_is_sent() {
    let server = DjinnServer::start().unwrap();
    let mut image = b"QFI\xfb".to_vec();
    image.resize(3_000_000, 5);
    server.add_image("big", &image).unwrap();
    assert!(content(&server, "").body == image);
    assert!(content(&server, "Range: bytes=1000000-\r\n").body == image[1_000_000..]);
    assert_eq!(get(&server, "/api/images/2").status(), 404);
}
