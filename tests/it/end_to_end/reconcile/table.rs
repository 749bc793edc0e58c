//! What comes of uploads under faults, as the table in `reconcile.md` says, which is the
//! documentation of `CreateUpload::reconcile`: there is no other list of what is expected.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use machine_images::djinn::{Client, Source, Visibility};
use machine_images::testing::{Close, DjinnServer, Fault};
use machine_images::{Digest, ErrorKind};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::super::without_certificates;
use super::{disk, meanwhile, posts, sha256};

/// Larger than what the sockets hold, at its half, too.
const LARGE: usize = 64 << 20;

/// Large uploads under way at a time.
static TURNS: Semaphore = Semaphore::const_new(4);

struct Contents {
    bytes: Bytes,
    sha256: Digest,
}

impl Contents {
    fn of(bytes: Vec<u8>) -> Self {
        let sha256 = sha256(&bytes);
        let bytes = bytes.into();
        Self { bytes, sha256 }
    }
}

static SMALL_IMAGE: LazyLock<Contents> = LazyLock::new(|| Contents::of(disk()));
static LARGE_IMAGE: LazyLock<Contents> = LazyLock::new(|| {
    let mut bytes = disk();
    bytes.resize(LARGE, 0);
    Contents::of(bytes)
});

/// What befalls the first upload, by its name in the table.
fn fault(row: &str) -> Fault {
    let (clean, reset) = (Close::Clean, Close::Reset);
    let cut = |after, close| Fault::CutRequest { after, close };
    let large = LARGE as u64;
    let seconds = |word: &str| Duration::from_secs(word.parse().unwrap());
    let row = row.trim_end_matches(", in a large body");
    match row {
        "the connection is closed before the body" => Fault::DropRequest { close: clean },
        "the connection is reset before the body" => Fault::DropRequest { close: reset },
        "the body is cut at once" => cut(0, reset),
        "the body is cut after one byte" => cut(1, reset),
        "the body is cut at half" => cut(large / 2, reset),
        "the body is cut at half, by a close" => cut(large / 2, clean),
        "the body is cut before its last byte" => cut(large - 1, reset),
        "the response is lost, by a close" => Fault::DropResponse { close: clean },
        "the response is lost, by a reset" => Fault::DropResponse { close: reset },
        "the response is late" => Fault::DelayResponse {
            wait: Duration::from_secs(5),
        },
        "a proxy responds with 502" => Fault::Html { status: 502 },
        "a proxy responds with 504" => Fault::Html { status: 504 },
        "the server copies for 5 s, and gives up with the client" => Fault::SlowCopy {
            wait: Duration::from_secs(5),
            outlives_client: false,
        },
        "the server copies for 5 s, and goes on without the client" => Fault::SlowCopy {
            wait: Duration::from_secs(5),
            outlives_client: true,
        },
        _ => {
            let words: Vec<_> = row.split(' ').collect();
            match words[..] {
                [
                    "the",
                    "server",
                    "is",
                    "away",
                    "for",
                    wait,
                    "s,",
                    "nothing",
                    "done",
                ] => {
                    let (done, wait) = (false, seconds(wait));
                    Fault::Restart { done, wait }
                }
                [
                    "the",
                    "server",
                    "is",
                    "away",
                    "for",
                    wait,
                    "s,",
                    "upload",
                    "done",
                ] => {
                    let (done, wait) = (true, seconds(wait));
                    Fault::Restart { done, wait }
                }
                _ => panic!("{row} is no fault"),
            }
        }
    }
}

/// Another user of the server.
const OTHER: &str = "eli";
const TOKEN: &str = "72bcff1345c5005f318d16466eb229d0";
const SHARED: &str = "lab@eli";

/// Starts a server with what a column says of the name.
fn server(column: &str, image: &Contents) -> Arc<DjinnServer> {
    let server = DjinnServer::builder().user(OTHER, TOKEN).start().unwrap();
    let server = Arc::new(server);
    server.add_namespace(SHARED, Visibility::Private).unwrap();
    server.add_collaborator(SHARED, "tester").unwrap();
    let foreign = |length: u64| {
        let foreign = server.new_image("debian").author(OTHER).namespace(SHARED);
        foreign.content(b"QFI\xfb").length(length).add().unwrap();
    };
    let length = image.bytes.len() as u64;
    match column {
        "free" | "free, with a digest" => {}
        "own image" => {
            server.add_image("debian", &image.bytes).unwrap();
        }
        "other user's image" => foreign(length),
        "other user's image, different length" => foreign(4096),
        "taken during the upload" => {
            let at = Arc::downgrade(&server);
            meanwhile(&server, move || {
                let server = at.upgrade().unwrap();
                let foreign = server.new_image("debian").author(OTHER).namespace(SHARED);
                foreign.content(b"QFI\xfb").length(length).add().unwrap();
            });
        }
        _ => panic!("{column} is no state of a name"),
    }
    server
}

/// What came of one upload: `new image 2 1` are an image, two uploads and one image of that name.
async fn cell(row: String, column: String) -> String {
    let fault = fault(&row);
    let is_large = matches!(fault, Fault::CutRequest { .. }) || row.ends_with("large body");
    // Elsewhere nothing is sent.
    let is_sent = column.starts_with("free") || column.starts_with("taken");
    let turn = match is_large && is_sent {
        true => Some(TURNS.acquire().await.unwrap()),
        false => None,
    };
    // To start all servers takes seconds, which would hold up the clients of those that have begun.
    let prepared = spawn_blocking({
        let column = column.clone();
        move || {
            let image = match is_large {
                true => &*LARGE_IMAGE,
                false => &*SMALL_IMAGE,
            };
            (server(&column, image), image)
        }
    });
    let (server, image) = prepared.await.unwrap();
    let is_shared = !matches!(&*column, "free" | "own image");
    let with_digest = column == "free, with a digest";
    let old = server.image_count();
    server.inject(fault.clone().on("POST", "/images"));

    let failures = Arc::new(Mutex::new(Vec::new()));
    let failed = Arc::clone(&failures);
    // The defaults, with which the table is true, but for clients that give up.
    let mut client = Client::builder(server.url())
        .reqwest_builder(without_certificates)
        .token(server.token())
        .on_attempt(move |attempt| {
            if attempt.method == "POST" {
                failed.lock().unwrap().push(attempt.error);
            }
        });
    if matches!(fault, Fault::DelayResponse { .. } | Fault::SlowCopy { .. }) {
        client = client.response_timeout(Duration::from_secs(2));
    }
    let images = client.build().unwrap().images();
    let mut upload = images
        .create_upload("debian", Source::from(image.bytes.clone()))
        .reconcile(true);
    if is_shared {
        upload = upload.namespace(SHARED.parse().unwrap());
    }
    if with_digest {
        upload = upload.reconcile_sha256(image.sha256);
    }
    let outcome = match upload.send().await {
        Ok(found) => {
            assert_eq!(found.author.unwrap().username, "tester");
            let contents = server.content(found.id).unwrap();
            assert!(contents == image.bytes, "other contents");
            assert!(found.id.get() > old as i64, "an older image");
            "new image".to_owned()
        }
        Err(error) => error.kind().to_string(),
    };
    let failures = std::mem::take(&mut *failures.lock().unwrap());
    // What was left of the body does not fit into the sockets.
    // One that closes in order goes on reading for a while, so that all may be sent.
    let is_cut = !matches!(
        fault,
        Fault::CutRequest { after, close } if after > LARGE as u64 / 2 || close == Close::Clean
    );
    if is_large && is_cut && !failures.is_empty() {
        assert_eq!(failures[0], Some(ErrorKind::NotSent), "{row}");
    }
    drop(turn);
    let found = format!("{outcome} {} {}", posts(&server), server.image_count());
    spawn_blocking(|| drop(server)).await.unwrap();
    found
}

struct Table {
    columns: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

fn table() -> Table {
    let text = include_str!("../../../../src/djinn/reconcile.md");
    let mut lines = text.lines().filter(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        let mut cells = cells.map(|cell| cell.trim().to_owned());
        (cells.next().unwrap(), cells.collect::<Vec<_>>())
    };
    let (_, columns) = cells(lines.next().unwrap());
    let rows = lines.skip(1).map(cells).collect();
    Table { columns, rows }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_fault_under_an_upload_ends_as_the_table_says() {
    let Table { columns, rows } = table();
    let wrong = rows.iter().map(async |(row, expected)| {
        let cells = columns
            .iter()
            .map(|column| tokio::spawn(cell(row.clone(), column.clone())));
        let found: Vec<_> = join_all(cells).await;
        let found: Vec<_> = found
            .into_iter()
            .map(|cell| cell.unwrap_or_else(|panic| format!("panic {panic}")))
            .collect();
        (found != *expected).then(|| format!("| {row} | {} |", found.join(" | ")))
    });
    let wrong: Vec<_> = join_all(wrong).await.into_iter().flatten().collect();
    assert!(
        wrong.is_empty(),
        "rows as they were found:\n{}",
        wrong.join("\n")
    );
    assert!(rows.len() > 20, "{} rows", rows.len());
}
