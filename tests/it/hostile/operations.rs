//! Whole operations against a server that answers with the bytes it is given: also the body of the
//! fuzz targets `list` and `save`.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use futures::TryStreamExt;
use machine_images::RetryPolicy;
use machine_images::djinn::{Client, Images};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

/// Parts the answers from each other.
const MARK: &[u8] = b"\n--8<--\n";

/// A list with all that it can ask for.
pub(crate) fn list(answers: &[u8]) {
    served(answers, async |images, bytes| {
        let list = images.list().prefetch(1).consistent(2);
        let rows: Result<Vec<_>, _> = list.stream().try_collect().await;
        // Each row was sent, and none of them is shorter than this.
        let rows = rows.map_or(0, |rows| rows.len());
        assert!(
            rows * r#"{"id":1,"url":"a:"}"#.len() <= bytes,
            "{rows} rows"
        );
    });
}

/// A fetch, with or without an inspection, by one connection or several.
pub(crate) fn save(answers: &[u8], folder: &Path) {
    let target = folder.join("disk");
    for (connections, inspected) in [(1, false), (1, true), (4, false), (4, true)] {
        served(answers, async |images, bytes| {
            let mut request = images
                .save(1, &target)
                .connections(connections)
                .durable(false);
            if !inspected {
                request = request.unchecked();
            }
            match request.await {
                Ok(saved) => {
                    let length = std::fs::metadata(&target).expect("a file").len();
                    assert_eq!(length, saved.bytes);
                    assert!(length <= bytes as u64, "{length} of {bytes} bytes");
                    std::fs::remove_file(&target).expect("its end");
                }
                Err(_) => assert!(!target.exists(), "half a file"),
            }
        });
        for left in ["disk.part", "disk.part.state"] {
            let _ = std::fs::remove_file(folder.join(left));
        }
    }
}

/// Runs a call against a server that answers each request with the next answer, and closes.
fn served(answers: &[u8], call: impl AsyncFnOnce(Images, usize)) {
    let mut pieces = Vec::new();
    let mut rest = answers;
    while let Some(at) = rest.windows(MARK.len()).position(|piece| piece == MARK) {
        pieces.push(rest[..at].to_vec());
        rest = &rest[at + MARK.len()..];
    }
    pieces.push(rest.to_vec());
    // A server that has no more to say says it all again.
    let turns = pieces.into_iter().cycle().take(64);
    let turns: Rc<RefCell<dyn Iterator<Item = Vec<u8>>>> = Rc::new(RefCell::new(turns));
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::task::spawn_local(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let turns = turns.clone();
                tokio::task::spawn_local(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let answer = turns.borrow_mut().next();
                    let _ = stream.write_all(&answer.unwrap_or_default()).await;
                });
            }
        });
        let short = Duration::from_millis(50);
        let policy = RetryPolicy::default()
            .retries(2)
            .first_delay(Duration::from_millis(1))
            .max_retry_after(Duration::from_millis(2));
        let client = Client::builder(base)
            .response_timeout(short)
            .stall_timeout(short)
            .max_pages(20)
            .retry(policy);
        let images = client.build().expect("a client").images();
        // All that can come: each answer may come more than once.
        let bytes = answers.len().saturating_mul(64);
        let call = tokio::time::timeout(Duration::from_secs(20), call(images, bytes));
        call.await.expect("an end");
    });
}
