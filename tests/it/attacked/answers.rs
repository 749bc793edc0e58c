//! What a hostile server answers.

use std::time::{Duration, Instant};

use machine_images::djinn::{Client, Images};
use machine_images::{ErrorKind, RetryPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::raw::{Answer, RawServer, Then};
use crate::support::{DATE, QEMU_DISK, everything, quick};

fn images(server: &RawServer, policy: RetryPolicy) -> Images {
    let client = Client::builder(server.url("")).retry(policy);
    client.build().unwrap().images()
}

/// A 206 with these bytes, as this part.
fn part(range: &str, bytes: &[u8]) -> Answer {
    let length = bytes.len();
    let mut answer = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Type: {QEMU_DISK}\r\nContent-Length: {length}\r\n\
         Content-Range: bytes {range}\r\nLast-Modified: {DATE}\r\n\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(bytes);
    Answer::new(answer, Then::KeepAlive)
}

#[tokio::test]
async fn a_part_without_a_total_that_is_less_than_was_asked_for_is_not_all() {
    for range in ["0-9/*", "0-9/1000"] {
        let server = RawServer::start(vec![part(range, &[7; 10])]).await;
        let images = images(&server, RetryPolicy::none());
        let content = async { images.content(1).range(0..1000).send().await?.bytes().await };
        let error = content.await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::InvalidInput, "{range}: {error:?}");
    }
    // To the end of an image of unknown length: nobody can say whether that was all.
    let server = RawServer::start(vec![part("0-9/*", &[7; 10])]).await;
    let images = images(&server, RetryPolicy::none());
    let content = async { images.content(1).range(0..).send().await?.bytes().await };
    assert_eq!(content.await.unwrap_err().kind(), ErrorKind::Range);
}

#[tokio::test]
async fn answers_of_one_byte_each_are_no_progress() {
    let answers = (0..200).map(|at| part(&format!("{at}-{at}/1000"), &[7]));
    let server = RawServer::start(answers.collect()).await;
    let images = images(&server, quick().retries(4));
    let content = images.content(1).range(0..1000).send().await.unwrap();
    let error = content.bytes().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Length, "{error:?}");
    assert_eq!(server.received().len(), 5);
}

#[tokio::test]
async fn a_least_rate_has_one_clock_for_all_answers() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", server.local_addr().unwrap());
    // Each answer has 20 KB, which is progress, and takes 100 ms for it.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 2048];
                while let Ok(1..) = stream.read(&mut request).await {
                    let text = String::from_utf8_lossy(&request);
                    let at = text.split("bytes=").nth(1).unwrap();
                    let at: usize = at.split('-').next().unwrap().parse().unwrap();
                    let range = format!("{at}-{}/100000000", at + 19_999);
                    let answer = part(&range, &[7; 20_000]).bytes;
                    let (head, body) = answer.split_at(answer.len() - 20_000);
                    let _ = stream.write_all(head).await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let _ = stream.write_all(body).await;
                }
            });
        }
    });
    let client = Client::builder(base)
        .min_rate(1_000_000, Duration::from_millis(500))
        .retry(quick().retries(6));
    let images = client.build().unwrap().images();
    let began = Instant::now();
    let content = images.content(1).range(0..50_000_000).send().await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(5), content.bytes());
    let error = read.await.expect("an end").unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Stalled | ErrorKind::Length),
        "{error:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_list_is_no_larger_than_a_page_can_be() {
    let row = r#"{"id":1,"author_id":1,"user_id":1,"name":"n","created_at":"2026-11-22T01:04:06Z","url":"http://h/1","a":0,"b":0,"c":0,"d":0},"#;
    let mut body = format!("[{}", row.repeat(5 * (1 << 20) / row.len()));
    body.pop();
    body.push(']');
    let answer = || {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
        let answer = format!("{head}{}\r\n\r\n{body}", body.len());
        vec![Answer::new(answer, Then::KeepAlive)]
    };
    let server = RawServer::start(answer()).await;
    let images = images(&server, RetryPolicy::none());
    let error = images.list().page(1).send().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error:?}");

    let server = RawServer::start(answer()).await;
    let client = Client::builder(server.url("")).max_response(8 << 20);
    let page = client.build().unwrap().images().list().page(1).send().await;
    assert!(page.unwrap().items.len() > 10_000);
}

/// The secrets of the URL that the server is to download from, and of the proxy in between.
#[tokio::test]
async fn what_the_server_repeats_of_a_url_or_a_proxys_login_is_not_shown() {
    let url = "http://robot42:pass%20w0rd@h/Image.qcow2?X-Signature=Abcdef0123456789&v=1";
    let secrets = [
        "pass%20w0rd",
        "pass w0rd",
        "Abcdef0123456789",
        "abcdef0123456789",
    ];
    for said in [url.to_owned(), url.to_lowercase(), secrets.join(" or ")] {
        let body = serde_json::json!({"message": format!("no: {said}")}).to_string();
        let answer = format!(
            "HTTP/1.1 500 No\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let server = RawServer::start(vec![Answer::new(answer, Then::KeepAlive)]).await;
        let create =
            images(&server, RetryPolicy::none()).create_download("x", url.parse().unwrap());
        let shown = everything(&create.send().await.unwrap_err());
        for secret in secrets {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }

    // `proxy:canary pr0xy`, as it is sent.
    let login = "cHJveHk6Y2FuYXJ5IHByMHh5";
    let said = format!("you are proxy with canary pr0xy or canary%20pr0xy, Basic {login}");
    let answer = format!(
        "HTTP/1.1 403 No\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{said}",
        said.len()
    );
    let proxy = RawServer::start(vec![Answer::new(answer, Then::KeepAlive)]).await;
    let proxy_url = proxy.url("").replace("//", "//proxy:canary%20pr0xy@");
    let client = Client::builder("http://images.example").proxy(proxy_url);
    let error = client.build().unwrap().images().list().page(1).send().await;
    let shown = everything(&error.unwrap_err());
    assert!(shown.contains("you are proxy with "), "{shown}");
    for secret in ["canary pr0xy", "canary%20pr0xy", login] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

/// The tests turn the feature `gzip` of the HTTP client on, as another crate in a program may.
#[tokio::test]
async fn no_encoding_is_asked_for_whatever_another_crate_turns_on() {
    let empty = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";
    let server = RawServer::start(vec![Answer::new(empty, Then::KeepAlive)]).await;
    let listed = images(&server, RetryPolicy::none())
        .list()
        .page(1)
        .send()
        .await;
    assert_eq!(listed.unwrap().items.len(), 0);
    assert_eq!(server.received()[0].header("accept-encoding"), None);
}
