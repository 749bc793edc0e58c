//! Deadlines that are kept.

use std::time::{Duration, Instant};

use machine_images::ErrorKind;
use machine_images::djinn::Client;
use machine_images::testing::{DjinnServer, Fault};

const DISK: &[u8] = include_bytes!("../../data/disk.qcow2");

#[tokio::test]
async fn the_inspection_at_the_end_of_a_wait_is_within_its_time() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("disk", DISK).unwrap();
    let stall = Fault::DelayResponse {
        wait: Duration::from_secs(12),
    };
    server.inject(
        stall
            .when(|request| request.header("range").is_some())
            .always(),
    );
    let client = Client::builder(server.url()).token(server.token());
    let images = client.build().unwrap().images();
    let began = Instant::now();
    let wait = images.wait_downloaded(id).timeout(Duration::from_secs(1));
    let error = wait.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}
