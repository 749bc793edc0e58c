use std::time::{Duration, Instant};

use machine_images::testing::DjinnServer;
use serde_json::{Value, json};

use crate::http::{QCOW2, get, post_json, send};

fn server() -> DjinnServer {
    DjinnServer::builder()
        .download_delay(Duration::ZERO)
        .start()
        .unwrap()
}

fn create(server: &DjinnServer, url: &str) -> crate::http::Answer {
    let name = format!("dl-{}", server.image_count());
    post_json(
        server,
        &json!({"name": name, "download_url": url}).to_string(),
    )
}

fn job(server: &DjinnServer) -> Value {
    get(server, &format!("/api/images/{}", server.image_count())).json()["download"].clone()
}

/// The job of the newest image once it is over.
fn finished(server: &DjinnServer) -> Value {
    let begun = Instant::now();
    loop {
        let job = job(server);
        if !job["finished_at"].is_null() {
            return job;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{job}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_download_is_queued_then_finished() {
    let server = DjinnServer::builder()
        .download_delay(Duration::from_millis(300))
        .start()
        .unwrap();
    let source = server.publish(QCOW2).unwrap();
    let answer = create(&server, source.as_str());
    assert_eq!(answer.status(), 201);
    assert!(answer.json()["download"].is_null());
    let queued = job(&server);
    assert_eq!(queued["source"], source.as_str());
    assert!(queued["started_at"].is_null() && queued["error"].is_null());
    let kind = "Accept: application/x-qemu-disk\r\n";
    assert_eq!(
        send(&server, "GET", "/api/images/1", kind, b"").status(),
        404
    );
    let done = finished(&server);
    assert!(done["error"].is_null() && done["started_at"].is_string());
    assert_eq!(server.content(1).unwrap(), QCOW2);
}

#[test]
fn a_download_checks_the_media_type_only() {
    let server = server();
    let source = server.publish("hello").unwrap();
    create(&server, source.as_str());
    assert!(finished(&server)["error"].is_null());
    create(&server, server.url().as_str());
    let problem = "unexpected Content-Type, expected application/x-qemu-disk";
    assert_eq!(finished(&server)["error"], problem);
    assert_eq!(server.content(2), None);
}

#[test]
fn errors_are_worded_as_captured() {
    let server = server();
    create(&server, "http://127.0.0.1:1/x");
    let problem = "Get \"http://127.0.0.1:1/x\": dial tcp 127.0.0.1:1: connect: connection refused";
    assert_eq!(finished(&server)["error"], problem);
    create(&server, "sftp://Root:PW@127.0.0.1:2022/Tiny.qcow2");
    let job = finished(&server);
    assert_eq!(job["error"], "not a valid qcow2 file");
    assert_eq!(job["source"], "sftp://root:xxxxx@127.0.0.1:2022/tiny.qcow2");
    create(&server, "http:///x");
    assert_eq!(
        finished(&server)["error"],
        "Get \"http:///x\": http: no Host in request URL"
    );
}

#[test]
fn a_download_with_a_password_for_http_never_ends() {
    let server = server();
    let mut source = server.publish(QCOW2).unwrap();
    source.set_username("User").unwrap();
    source.set_password(Some("SecretPw")).unwrap();
    create(&server, source.as_str());
    std::thread::sleep(Duration::from_millis(200));
    let job = job(&server);
    assert!(
        job["started_at"].is_string() && job["finished_at"].is_null(),
        "{job}"
    );
    assert!(
        job["source"]
            .as_str()
            .unwrap()
            .starts_with("http://user:xxxxx@127.0.0.1")
    );
}

#[test]
fn invalid_sources_are_refused_as_captured() {
    let server = server();
    for (url, status, problem) in [
        (
            "/x",
            400,
            r#"{"download_url":["Download_url invalid url scheme"]}"#,
        ),
        (
            "ftp://example.com/x",
            400,
            r#"{"download_url":["Download_url invalid url scheme"]}"#,
        ),
        (
            "sftp://root@127.0.0.1/x",
            400,
            r#"{"download_url":["Download_url missing password from SFTP URL"]}"#,
        ),
        (
            "http://[::1",
            500,
            r#"{"message":"djinn-ci.com/image/http.(*Handler).Store - djinn-ci.com/image/http/handler.go:101: djinn-ci.com/image.(*DownloadURL).UnmarshalJSON - djinn-ci.com/image/download.go:373: djinn-ci.com/image.(*DownloadURL).UnmarshalText - djinn-ci.com/image/download.go:360: parse \"http://[::1\": missing ']' in host"}"#,
        ),
        (
            "http://a b/%zz",
            500,
            r#"{"message":"djinn-ci.com/image/http.(*Handler).Store - djinn-ci.com/image/http/handler.go:101: djinn-ci.com/image.(*DownloadURL).UnmarshalJSON - djinn-ci.com/image/download.go:373: djinn-ci.com/image.(*DownloadURL).UnmarshalText - djinn-ci.com/image/download.go:360: parse \"http://a b/%zz\": invalid character \" \" in host name"}"#,
        ),
    ] {
        let answer = create(&server, url);
        assert_eq!(
            (answer.status(), answer.text().trim_end()),
            (status, problem),
            "{url}"
        );
    }
    let answer = post_json(&server, r#"{"name":"dl-x12","download_url":5}"#);
    let problem = r#"{"message":"djinn-ci.com/image/http.(*Handler).Store - djinn-ci.com/image/http/handler.go:101: djinn-ci.com/image.(*DownloadURL).UnmarshalJSON - djinn-ci.com/image/download.go:369: json: cannot unmarshal number into Go value of type string"}"#;
    assert_eq!((answer.status(), answer.text().trim_end()), (500, problem));
    let body = r#"{"name":"nsj","namespace":"black-mesa","download_url":"http://127.0.0.1/x"}"#;
    let answer = post_json(&server, body);
    assert!(
        answer.text().ends_with(
            "101: black-mesa: namespace: name can only contain letters and numbers\"}\n"
        )
    );
    assert_eq!(server.image_count(), 0);
}
