//! Files that are what the server has already, and fetches that wait for each other.

use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use machine_images::testing::{DjinnServer, Fault, empty_qcow2};
use machine_images::{Digest, ErrorKind, Phase, Progress, Saved, WhenBusy};

use super::{CONNECTIONS, MIB, Setup};

const SECOND: Duration = Duration::from_secs(1);

fn modified(setup: &Setup) -> SystemTime {
    let found = std::fs::metadata(setup.target()).unwrap();
    found.modified().unwrap()
}

fn set_modified(setup: &Setup, time: SystemTime) {
    let file = File::options().write(true).open(setup.target()).unwrap();
    file.set_modified(time).unwrap();
}

async fn refresh(setup: &Setup) -> Saved {
    setup.server.clear_requests();
    setup.save(1, setup.target()).refresh(true).await.unwrap()
}

#[tokio::test]
async fn a_saved_file_has_the_time_of_the_images_last_change() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        let created = setup.images().get(1).send().await.unwrap().created_at;
        setup.save(connections, setup.target()).await.unwrap();
        let since_epoch = modified(&setup).duration_since(SystemTime::UNIX_EPOCH);
        let seconds = u64::try_from(created.as_second()).unwrap();
        assert_eq!(since_epoch.unwrap(), Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn a_file_that_is_what_the_server_has_takes_one_request_and_no_more_than_a_byte() {
    let setup = Setup::of(super::image(MIB));
    let first = refresh(&setup).await;
    assert!(!first.unchanged);
    assert_eq!(first.fetched, MIB as u64);
    let saved = refresh(&setup).await;
    assert!(saved.unchanged);
    assert_eq!((saved.bytes, saved.fetched), (MIB as u64, 0));
    let requests = setup.server.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].header("if-range").is_some());
    assert_eq!(requests[0].body_sent, 1);
    setup.assert_saved();
}

#[tokio::test]
async fn a_file_that_is_not_what_the_server_has_is_fetched() {
    let other_time: fn(&Setup) = |setup| set_modified(setup, modified(setup) - 3600 * SECOND);
    let not_whole_seconds: fn(&Setup) = |setup| set_modified(setup, modified(setup) + SECOND / 2);
    let longer: fn(&Setup) = |setup| change(setup, |bytes| bytes.push(0));
    let shorter: fn(&Setup) = |setup| change(setup, |bytes| bytes.truncate(MIB - 1));
    let empty: fn(&Setup) = |setup| change(setup, Vec::clear);
    let later: fn(&Setup) = |setup| set_modified(setup, modified(setup) + 3600 * SECOND);
    for spoil in [other_time, not_whole_seconds, longer, shorter, empty, later] {
        let setup = Setup::of(super::image(MIB));
        refresh(&setup).await;
        spoil(&setup);
        let saved = refresh(&setup).await;
        assert!(!saved.unchanged);
        setup.assert_saved();
    }
}

/// Changes the bytes and keeps the time.
fn change(setup: &Setup, change: impl FnOnce(&mut Vec<u8>)) {
    let time = modified(setup);
    let mut bytes = std::fs::read(setup.target()).unwrap();
    change(&mut bytes);
    std::fs::write(setup.target(), bytes).unwrap();
    set_modified(setup, time);
}

#[tokio::test]
async fn a_new_version_on_the_server_is_fetched() {
    let setup = Setup::of(super::image(MIB));
    refresh(&setup).await;
    // Of the same length, a second later; and a server that honours no If-Range.
    let fault = Fault::LastModified { by: 1 };
    setup.server.inject(setup.on(fault).always());
    assert!(!refresh(&setup).await.unchanged);
    assert!(refresh(&setup).await.unchanged);
}

#[tokio::test]
async fn a_file_with_another_digest_is_fetched_and_one_with_the_expected_is_not() {
    let setup = Setup::of(super::image(MIB));
    refresh(&setup).await;
    let digest = Digest::of(&setup.image);
    let save = setup.save(1, setup.target()).refresh(true).sha256(digest);
    let saved = save.clone().await.unwrap();
    assert!(saved.unchanged);
    assert_eq!(saved.sha256, Some(digest));
    change(&setup, |bytes| bytes[MIB / 2] ^= 1);
    let saved = save.await.unwrap();
    assert!(!saved.unchanged);
    setup.assert_saved();
}

#[tokio::test]
async fn a_file_that_the_policy_rejects_is_not_unchanged() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("bad", b"not a QCOW2").unwrap();
    let images = server.client().unwrap().images();
    let directory = tempfile::tempdir().unwrap();
    let save = images.save(id, directory.path().join("x")).refresh(true);
    save.clone().unchecked().await.unwrap();
    let error = save.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageRejected);
}

#[tokio::test]
async fn a_digest_is_computed_on_request() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        let save = setup.save(connections, setup.target());
        assert_eq!(save.clone().await.unwrap().sha256, None);
        let saved = save.compute_sha256(true).await.unwrap();
        assert_eq!(saved.sha256, Some(Digest::of(&setup.image)));
    }
}

#[tokio::test]
async fn hashing_a_file_that_may_be_up_to_date_is_progress() {
    let setup = Setup::of(super::image(4 * MIB));
    setup.save(1, setup.target()).await.unwrap();
    for changes in [false, true] {
        if changes {
            let mut saved = std::fs::read(setup.target()).unwrap();
            let time = modified(&setup);
            saved[MIB] ^= 1;
            std::fs::write(setup.target(), saved).unwrap();
            set_modified(&setup, time);
        }
        let seen = Arc::new(Mutex::new(Vec::new()));
        let listener = seen.clone();
        let save = setup.save(1, setup.target()).refresh(true);
        let saved = save
            .sha256(Digest::of(&setup.image))
            .progress(move |progress: Progress| listener.lock().unwrap().push(progress));

        let saved = saved.await.unwrap();

        assert_eq!(saved.unchanged, !changes);
        let seen = seen.lock().unwrap();
        let (first, last) = (seen.first().unwrap(), seen.last().unwrap());
        let all = 4 * MIB as u64;
        assert_eq!((first.phase, first.total), (Phase::Verify, Some(all)));
        assert_eq!((last.done, last.total), (all, Some(all)));
        // What is fetched is hashed as well.
        assert!(changes || last.phase == Phase::Content);
        let began = seen
            .iter()
            .find(|progress| progress.phase == Phase::Content);
        assert_eq!(began.unwrap().done, if changes { 0 } else { all });
    }
}

#[tokio::test]
async fn a_second_fetch_can_wait_for_the_first_and_keep_its_file() {
    let setup = Setup::of(super::image(4 * MIB));
    let slow = Fault::Trickle {
        bytes: 256 * 1024,
        every: Duration::from_millis(100),
    };
    setup.server.inject(setup.on(slow));
    let first = tokio::spawn(setup.save(1, setup.target()).send());
    while setup.sent() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = setup.save(1, setup.target()).when_busy(WhenBusy::Wait);
    let second = second.await.unwrap();
    assert!(first.await.unwrap().unwrap().fetched > 0);
    assert!(second.unchanged);
    assert!(setup.sent() <= 4 * MIB as u64 + 1);
    setup.assert_saved();
}

#[tokio::test]
async fn a_second_fetch_that_waits_continues_what_the_first_leaves() {
    let setup = Setup::of(super::image(4 * MIB));
    let slow = Fault::Trickle {
        bytes: 256 * 1024,
        every: Duration::from_millis(50),
    };
    setup.server.inject(setup.on(slow));
    let first = tokio::spawn(setup.save(1, setup.target()).send());
    while setup.sent() < 2 * MIB as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = setup.save(1, setup.target()).when_busy(WhenBusy::Wait);
    let second = tokio::spawn(second.send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!second.is_finished());
    first.abort();
    let second = second.await.unwrap().unwrap();
    assert!(
        !second.unchanged && second.resumed_from > MIB as u64,
        "{second:?}"
    );
    setup.assert_saved();
}

#[tokio::test]
async fn an_inspected_file_is_refreshed_by_the_same_request() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("good", empty_qcow2(1 << 30)).unwrap();
    let images = server.client().unwrap().images();
    let directory = tempfile::tempdir().unwrap();
    let save = images.save(id, directory.path().join("x")).refresh(true);
    save.clone().await.unwrap();
    server.clear_requests();
    assert!(save.await.unwrap().unchanged);
    assert_eq!(server.requests().len(), 1);
}
