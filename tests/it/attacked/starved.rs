//! What waits for something else than what it asked for.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use machine_images::djinn::Client;
use machine_images::{ErrorKind, RetryPolicy};

/// Answers every request with interim answers as fast as it can.
fn flood(interim: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let many = interim.repeat(64 * 1024 / interim.len());
            // Until the client has enough.
            while stream.write_all(&many).is_ok() {}
        }
    });
    base
}

/// The HTTP library goes on reading interim answers until the runtime stops it: about a second later
/// in a release build, and most of a minute later in a debug build.
#[test]
#[cfg_attr(debug_assertions, ignore = "a debug build is too slow")]
fn interim_answers_do_not_put_off_the_response_timeout() {
    for interim in [
        b"HTTP/1.1 103 E\r\n\r\n".as_slice(),
        b"HTTP/1.1 102 P\r\nA: b\r\nC: d\r\nE: f\r\n\r\n",
    ] {
        let client = Client::builder(flood(interim))
            .response_timeout(Duration::from_millis(300))
            .retry(RetryPolicy::none());
        let images = client.build().unwrap().images();
        // One thread for all: the one that reads them.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let began = Instant::now();
        let error = runtime.block_on(images.get(1).send()).unwrap_err();
        let elapsed = began.elapsed();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        eprintln!("a flood of interim answers: {elapsed:?} of 300 ms");
        assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
    }
}

/// A runtime has 512 of them, and looking a name up takes one, too.
#[cfg(feature = "fs")]
#[test]
fn fetches_take_no_blocking_threads() {
    use machine_images::testing::{DjinnServer, Fault};

    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = DjinnServer::start().unwrap();
        server.add_image("image", vec![7; 1 << 20]).unwrap();
        let stall = Fault::StallResponse {
            after: 1000,
            wait: Duration::from_secs(600),
        };
        let stall = stall.on("GET", "/images/1");
        server.inject(stall.when(|request| request.header("accept") != Some("application/json")));
        let client = Client::builder(server.url().as_str().replace("127.0.0.1", "localhost"))
            .token(server.token())
            .connect_timeout(Duration::from_secs(2))
            .retry(RetryPolicy::none());
        let images = client.build().unwrap().images();
        let folder = tempfile::tempdir().unwrap();
        let fetch = images.save(1, folder.path().join("disk")).unchecked();
        let fetch = tokio::spawn(fetch.send());
        while server.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        images.get(1).send().await.unwrap();
        assert!(!fetch.is_finished());
        fetch.abort();
    });
}
