use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use machine_images::testing::{Close, DjinnServer, Fault, RetryAfter};

use crate::http::{Answer, QCOW2, connect, get, upload};

const ENDS: [(Close, Option<ErrorKind>); 2] = [
    (Close::Clean, None),
    (Close::Reset, Some(ErrorKind::ConnectionReset)),
];

const CONTENT: &str = "Accept: application/x-qemu-disk\r\n";

/// A server with an image of 100 KB and a fault.
fn server(fault: Fault) -> DjinnServer {
    let server = DjinnServer::start().unwrap();
    let mut image = b"QFI\xfb".to_vec();
    image.resize(100_000, 7);
    server.add_image("a", image).unwrap();
    server.inject(fault);
    server
}

fn open(server: &DjinnServer, method: &str, target: &str, headers: &str, body: &[u8]) -> TcpStream {
    let mut stream = connect(&server.url());
    let token = server.token();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

/// Reads to the end of the stream. Returns the bytes, and the error at the end.
fn drain(mut stream: TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).err();
    (bytes, error.map(|error| error.kind()))
}

fn content(server: &DjinnServer, headers: &str) -> TcpStream {
    open(
        server,
        "GET",
        "/api/images/1",
        &format!("{CONTENT}{headers}"),
        b"",
    )
}

fn last(server: &DjinnServer, headers: &str) -> Answer {
    let headers = format!("{headers}Connection: close\r\n");
    Answer::parse(&drain(content(server, &headers)).0)
}

#[test]
fn a_dropped_request_is_not_processed() {
    for (close, end) in ENDS {
        let server = server(Fault::DropRequest { close });
        let stream = open(&server, "DELETE", "/api/images/1", "", b"");
        assert_eq!(drain(stream), (Vec::new(), end));
        assert_eq!(
            (server.image_count(), server.requests()[0].status),
            (1, None)
        );
    }
}

#[test]
fn a_request_is_cut_in_its_body() {
    for (close, end) in ENDS {
        let server = server(Fault::CutRequest { after: 10, close });
        let length = "Content-Length: 1000\r\n";
        let stream = open(&server, "POST", "/api/images?name=b", length, &[1; 20]);
        assert_eq!(drain(stream), (Vec::new(), end));
        assert_eq!(
            (server.image_count(), server.requests()[0].body_received),
            (1, 20)
        );
    }
}

#[test]
fn the_request_of_a_dropped_response_is_processed() {
    for (close, end) in ENDS {
        let server = server(Fault::DropResponse { close });
        let length = format!("Content-Length: {}\r\n", QCOW2.len());
        let stream = open(&server, "POST", "/api/images?name=b", &length, QCOW2);
        assert_eq!(drain(stream), (Vec::new(), end));
        assert_eq!(server.content(2).unwrap(), QCOW2);
    }
}

#[test]
fn a_response_is_cut_in_its_body() {
    for (close, end) in ENDS {
        for after in [0, 1000, 99_999] {
            let server = server(Fault::CutResponse { after, close });
            let (bytes, error) = drain(content(&server, ""));
            let answer = Answer::parse(&bytes);
            assert_eq!(answer.header("Content-Length"), Some("100000"));
            assert_eq!((answer.body.len() as u64, error), (after, end), "{close:?}");
            assert_eq!(server.requests()[0].body_sent, after);
        }
    }
}

#[test]
fn json_is_cut_unless_it_is_shorter() {
    let server = server(Fault::CutResponse {
        after: 5,
        close: Close::Clean,
    });
    let answer = Answer::parse(&drain(open(&server, "GET", "/api/images", "", b"")).0);
    assert_eq!(answer.body.len(), 5);
    server.inject(Fault::CutResponse {
        after: 1 << 40,
        close: Close::Clean,
    });
    assert_eq!(last(&server, "").body.len(), 100_000);
}

#[test]
fn stalls_have_the_given_length() {
    let wait = Duration::from_millis(150);
    for fault in [
        Fault::DelayResponse { wait },
        Fault::StallResponse { after: 0, wait },
        Fault::StallResponse { after: 1000, wait },
    ] {
        let server = server(fault.clone());
        let begun = Instant::now();
        assert_eq!(last(&server, "").body.len(), 100_000);
        assert!(begun.elapsed() >= wait, "{fault:?}");
    }
    let server = server(Fault::StallRequest { after: 4, wait });
    let begun = Instant::now();
    assert_eq!(upload(&server, "?name=b", QCOW2).status(), 201);
    assert!(begun.elapsed() >= wait);
}

#[test]
fn bytes_before_a_stall_are_sent_before_it() {
    let wait = Duration::from_secs(600);
    let server = server(Fault::StallResponse { after: 1000, wait });
    let mut stream = content(&server, "");
    let mut seen = Vec::new();
    while !seen.ends_with(&[7; 996]) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    assert!(stream.read(&mut [0]).is_err());
}

#[test]
fn a_trickle_arrives_in_pieces() {
    let every = Duration::from_millis(20);
    let server = server(Fault::Trickle {
        bytes: 20_000,
        every,
    });
    let begun = Instant::now();
    assert_eq!(last(&server, "").body.len(), 100_000);
    assert!(begun.elapsed() >= 4 * every);
}

#[test]
fn statuses_repeat_with_both_forms_of_retry_after() {
    let server = DjinnServer::start().unwrap();
    server.inject(Fault::status(503).times(2));
    let retry_after = Some(RetryAfter::Seconds(7));
    server.inject(Fault::Status {
        status: 429,
        retry_after,
    });
    let retry_after = Some(RetryAfter::Date(60));
    server.inject(Fault::Status {
        status: 502,
        retry_after,
    });
    let answers: Vec<Answer> = (0..5).map(|_| get(&server, "/api/images")).collect();
    let statuses: Vec<u16> = answers.iter().map(Answer::status).collect();
    assert_eq!(statuses, [503, 503, 429, 502, 200]);
    assert_eq!(answers[0].header("Retry-After"), None);
    assert_eq!(answers[2].header("Retry-After"), Some("7"));
    assert!(answers[3].header("Retry-After").unwrap().ends_with(" GMT"));
}

#[test]
fn an_injected_status_follows_the_body_of_an_unprocessed_request() {
    let server = server(Fault::status(500));
    assert_eq!(upload(&server, "?name=b", QCOW2).status(), 500);
    assert_eq!(server.image_count(), 1);
    assert_eq!(server.requests()[0].body_received, QCOW2.len() as u64);
}

#[test]
fn an_early_response_precedes_the_rest_of_the_body() {
    for (close, end) in ENDS {
        let server = server(Fault::EarlyResponse {
            status: 413,
            after: 100,
            close,
        });
        let length = "Content-Length: 100000000\r\n";
        let stream = open(&server, "POST", "/api/images?name=b", length, &[1; 200]);
        let (bytes, error) = drain(stream);
        let answer = Answer::parse(&bytes);
        assert_eq!((answer.status(), error), (413, end));
        assert_eq!(answer.header("Connection"), Some("close"));
        assert_eq!(answer.text(), "{\"message\":\"too early\"}\n");
    }
}

#[test]
fn html_and_garbage_replace_answers() {
    let server = server(Fault::Html { status: 502 });
    let answer = get(&server, "/api/images");
    assert_eq!(
        (answer.status(), answer.header("Content-Type")),
        (502, Some("text/html"))
    );
    server.inject(Fault::GarbageJson);
    let answer = get(&server, "/api/images");
    assert_eq!(answer.status(), 200);
    assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
}

#[test]
fn endless_json_continues_until_the_client_disconnects() {
    let server = server(Fault::EndlessJson);
    let mut stream = open(&server, "GET", "/api/images", "", b"");
    let mut sink = vec![0; 4 << 20];
    stream.read_exact(&mut sink).unwrap();
    let answer = Answer::parse(&sink);
    assert_eq!(answer.header("Transfer-Encoding"), Some("chunked"));
    drop(stream);
    assert_eq!(get(&server, "/api/images").status(), 200);
}

#[test]
fn redirects_have_any_target_or_loop() {
    let location = "http://127.0.0.2:1/elsewhere".to_owned();
    let server = server(Fault::Redirect {
        status: 307,
        location: location.clone(),
    });
    let answer = get(&server, "/api/images?page=2");
    assert_eq!(
        (answer.status(), answer.header("Location")),
        (307, Some(location.as_str()))
    );
    server.inject(Fault::RedirectLoop { status: 302 });
    let answer = get(&server, "/api/images?page=2");
    assert_eq!(
        (answer.status(), answer.header("Location")),
        (302, Some("/api/images?page=2"))
    );
}

#[test]
fn a_content_length_can_be_too_large_or_too_small() {
    let server = server(Fault::ContentLength { by: 10 });
    let answer = Answer::parse(&drain(content(&server, "")).0);
    assert_eq!(answer.header("Content-Length"), Some("100010"));
    assert_eq!(answer.body.len(), 100_000);
    for (by, declared) in [(-10, "99990"), (-100_000, "0"), (-200_000, "0")] {
        server.inject(Fault::ContentLength { by });
        let answer = Answer::parse(&drain(content(&server, "")).0);
        assert_eq!(answer.header("Content-Length"), Some(declared));
        assert_eq!(answer.body.len(), 100_000, "the rest follows");
    }
}

#[test]
fn ranges_can_be_wrong_or_ignored() {
    let server = server(Fault::RangeStart { by: 5 });
    let range = "Range: bytes=10-19\r\n";
    let answer = last(&server, range);
    assert_eq!(answer.header("Content-Range"), Some("bytes 15-24/100000"));
    assert_eq!(answer.body.len(), 10);
    server.inject(Fault::RangeTotal { by: -1 });
    assert_eq!(
        last(&server, range).header("Content-Range"),
        Some("bytes 10-19/99999")
    );
    server.inject(Fault::IgnoreRange);
    let answer = last(&server, range);
    assert_eq!(
        (answer.status(), answer.header("Accept-Ranges")),
        (200, Some("bytes"))
    );
    server.inject(Fault::RefuseRanges);
    let answer = last(&server, range);
    assert_eq!(
        (answer.status(), answer.header("Accept-Ranges")),
        (200, None)
    );
    assert_eq!(last(&server, range).status(), 206);
}

#[test]
fn headers_are_replaced_or_removed() {
    let server = server(Fault::LastModified { by: 60 });
    let changed = last(&server, "")
        .header("Last-Modified")
        .unwrap()
        .to_owned();
    assert_ne!(
        last(&server, "").header("Last-Modified"),
        Some(changed.as_str())
    );
    server.inject(Fault::header("link", "garbage; <<"));
    assert_eq!(
        get(&server, "/api/images").header("Link"),
        Some("garbage; <<")
    );
    server.inject(Fault::WithoutHeader {
        name: "Link".to_owned(),
    });
    assert_eq!(get(&server, "/api/images").header("Link"), None);
    assert!(get(&server, "/api/images").header("Link").is_some());
}

#[test]
fn rules_select_requests() {
    let server = server(Fault::status(500));
    server.clear_faults();
    server.inject(Fault::status(501).on("GET", "/images/"));
    server.inject(Fault::status(502).on("GET", "/images").skip(1).times(2));
    server.inject(
        Fault::status(503)
            .when(|request| request.target.ends_with("page=9"))
            .always(),
    );
    let status = |target: &str| get(&server, target).status();
    assert_eq!(status("/api/images"), 200);
    assert_eq!(status("/api/images/1"), 501);
    assert_eq!(status("/api/images/1"), 200);
    assert_eq!(status("/api/images"), 502);
    assert_eq!(status("/api/images?page=9"), 502);
    assert_eq!(status("/api/images"), 200);
    for _ in 0..3 {
        assert_eq!(status("/api/images?page=9"), 503);
    }
    server.clear_faults();
    assert_eq!(status("/api/images?page=9"), 200);
}

#[cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]
#[tokio::test]
async fn a_client_under_another_runtime_is_served() {
    let server = server(Fault::status(503));
    let client = reqwest::Client::new();
    let url = format!("{}/images/1", server.url());
    let get = || {
        client
            .get(&url)
            .bearer_auth(server.token())
            .header("Accept", "application/x-qemu-disk")
    };
    assert_eq!(get().send().await.unwrap().status(), 503);
    let answer = get().send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap().len(), 100_000);
}
