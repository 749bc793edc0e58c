//! Files that are larger than what is read ahead of the socket.

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use machine_images::djinn::{Client, CreateUpload, Images, Source};
use machine_images::testing::DjinnServer;
use machine_images::{ErrorKind, Progress};
use tempfile::TempDir;

const LENGTH: u64 = 33 * 1024 * 1024 + 1;

fn images(server: &DjinnServer) -> Images {
    let client = Client::builder(server.url()).token(server.token());
    client.build().unwrap().images()
}

/// An image with a byte at its end, so that none of it may be lost.
fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.qcow2");
    let mut bytes = b"QFI\xfb".to_vec();
    bytes.resize(LENGTH as usize, 0);
    for (place, byte) in bytes.iter_mut().enumerate().skip(4).step_by(4093) {
        *byte = place as u8;
    }
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn upload(images: &Images, path: &PathBuf) -> CreateUpload {
    images
        .create_upload("large", Source::file(path))
        .unchecked()
}

#[tokio::test]
async fn one_arrives_whole() {
    let server = DjinnServer::start().unwrap();
    let (images, (_folder, path)) = (images(&server), file());
    let image = upload(&images, &path).send().await.unwrap();
    let content = server.content(image.id).unwrap();
    assert!(
        content == std::fs::read(&path).unwrap(),
        "the contents differ"
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn one_that_shrinks_is_an_error_and_no_image() {
    let server = DjinnServer::start().unwrap();
    let (images, (_folder, path)) = (images(&server), file());
    let victim = path.clone();
    let cut = move |_: Progress| File::create(&victim).map(drop).unwrap();
    let sent = upload(&images, &path).progress(cut).send().await;
    assert_eq!(sent.unwrap_err().kind(), ErrorKind::Source);
    assert_eq!(server.image_count(), 0);
}

#[tokio::test]
async fn dropping_the_future_ends_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let reader = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut buffer, mut count) = (vec![0; 64 * 1024], 0);
        loop {
            match stream.read(&mut buffer) {
                Ok(1..) => count += 1,
                // An end as well as a reset.
                _ => return (count, Instant::now()),
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    let client = Client::builder(base).build().unwrap();
    // More than the system's buffers hold.
    let (_folder, path) = file();
    let long = File::options().write(true).open(&path).unwrap();
    long.set_len(1 << 30).unwrap();
    let (images, began) = (client.images(), Instant::now());
    let send = upload(&images, &path).send();
    assert!(
        tokio::time::timeout(Duration::from_millis(300), send)
            .await
            .is_err()
    );
    let dropped = Instant::now();
    // Not here, where the connection is served.
    let ended = tokio::task::spawn_blocking(|| reader.join().unwrap());
    let (count, ended) = ended.await.unwrap();
    assert!(count > 0 && began.elapsed() > Duration::from_millis(300));
    // What was on its way is still read, slowly.
    assert!(
        ended - dropped < Duration::from_secs(5),
        "{:?}",
        ended - dropped
    );
}

#[tokio::test]
async fn a_panic_of_the_listener_ends_the_upload() {
    let server = DjinnServer::start().unwrap();
    let (images, (_folder, path)) = (images(&server), file());
    // Long enough to be told of more than the start and the end.
    let long = File::options().write(true).open(&path).unwrap();
    long.set_len(4 << 30).unwrap();
    let tired = |progress: Progress| assert_eq!(progress.done, 0, "the listener is tired");
    let sent = upload(&images, &path).progress(tired).send().await;
    assert_eq!(sent.unwrap_err().kind(), ErrorKind::NotSent);
    assert_eq!(server.image_count(), 0);
}
