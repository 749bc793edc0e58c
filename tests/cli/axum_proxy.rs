use std::io::{BufRead, BufReader};
use std::process::Stdio;

use machine_images::testing::{DjinnServer, Fault};
use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Client, Response, StatusCode};

use super::{Running, example_on};

/// The proxy, and an image behind it.
struct Proxy {
    server: DjinnServer,
    running: Running,
    /// Where the proxy has the image.
    url: String,
    image: Vec<u8>,
}

impl Proxy {
    fn start() -> Self {
        let server = DjinnServer::start().unwrap();
        let image: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7) as u8).collect();
        let id = server.add_image("web", &image).unwrap();
        let mut proxy = example_on("axum_proxy", &server);
        proxy
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = proxy.spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        Self {
            server,
            running: Running(child),
            url: format!("{}{id}", line.trim()),
            image,
        }
    }

    async fn get(&self, headers: &[(reqwest::header::HeaderName, &str)]) -> Response {
        let request = Client::new().get(&self.url);
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.parse().unwrap()));
        request.headers(headers.collect()).send().await.unwrap()
    }
}

#[tokio::test]
async fn the_whole_image_is_passed_on() {
    let proxy = Proxy::start();

    let response = proxy.get(&[]).await;

    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.content_length(), Some(proxy.image.len() as u64));
    assert_eq!(
        response.headers()["content-type"],
        "application/x-qemu-disk"
    );
    assert!(response.bytes().await.unwrap() == proxy.image);
}

#[tokio::test]
async fn ranges_are_passed_on() {
    let proxy = Proxy::start();
    let total = proxy.image.len();
    for (range, expected) in [
        ("bytes=0-9", 0..10),
        ("bytes=1000000-", 1_000_000..total),
        ("bytes=-500", total - 500..total),
        ("bytes=2999990-9999999", 2_999_990..total),
    ] {
        let response = proxy.get(&[(RANGE, range)]).await;

        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let header = format!("bytes {}-{}/{total}", expected.start, expected.end - 1);
        assert_eq!(response.headers()[CONTENT_RANGE], header, "{range}");
        let body = response.bytes().await.unwrap();
        assert!(body == proxy.image[expected], "{range}");
    }
    // A server may ignore them.
    for range in ["bytes=0-1,5-6", "bytes=-", "lines=1-2", "bytes=a-b"] {
        let response = proxy.get(&[(RANGE, range)]).await;
        assert_eq!(response.status(), StatusCode::OK, "{range}");
        assert!(response.bytes().await.unwrap() == proxy.image, "{range}");
    }
}

#[tokio::test]
async fn a_range_of_another_version_is_the_whole_image() {
    let proxy = Proxy::start();
    let whole = proxy.get(&[]).await;
    let headers = whole.headers();
    let version = headers.get(ETAG).or(headers.get(LAST_MODIFIED)).unwrap();
    let version = version.to_str().unwrap();
    for (version, status) in [
        (version, StatusCode::PARTIAL_CONTENT),
        ("\"other\"", StatusCode::OK),
    ] {
        let response = proxy.get(&[(RANGE, "bytes=5-"), (IF_RANGE, version)]).await;
        assert_eq!(response.status(), status, "{version}");
    }
}

#[tokio::test]
async fn errors_have_their_statuses() {
    let proxy = Proxy::start();
    let total = proxy.image.len();

    let past = proxy.get(&[(RANGE, "bytes=3000000-")]).await;
    assert_eq!(past.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(past.headers()[CONTENT_RANGE], format!("bytes */{total}"));

    // A server may ignore what is not a range.
    let reversed = proxy.get(&[(RANGE, "bytes=9-0")]).await;
    assert_eq!(reversed.status(), StatusCode::OK);

    let missing = reqwest::get(format!("{}99", proxy.url)).await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    // No word of the proxy's own token.
    assert_eq!(missing.text().await.unwrap(), "404 Not Found");

    proxy.server.inject(Fault::status(403).always());
    assert_eq!(proxy.get(&[]).await.status(), StatusCode::BAD_GATEWAY);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nothing_is_buffered() {
    let proxy = Proxy::start();
    let large = proxy
        .server
        .new_image("large")
        .length(1 << 30)
        .add()
        .unwrap();
    let url = format!("{}{large}", proxy.url.trim_end_matches(char::is_numeric));
    let mut response = reqwest::get(url).await.unwrap();
    let mut received = 0;
    while let Some(chunk) = response.chunk().await.unwrap() {
        received += chunk.len();
        if received > 256 << 20 {
            break;
        }
    }
    // So that the proxy could have read ahead.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;

    let status = format!("/proc/{}/status", proxy.running.0.id());
    let status = std::fs::read_to_string(status).unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let peak: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 64 << 10, "{peak} KiB");
}
