//! Names as long as a file can have them.
#![cfg(unix)]

use std::fs;
use std::time::Duration;

use machine_images::ErrorKind;
use machine_images::testing::Fault;

use super::{Gate, MIB, Setup, ends, image};

#[tokio::test]
async fn names_of_any_length_that_a_file_can_have_are_saved_and_continued() {
    let lengths = (236..=255).map(|length| "n".repeat(length));
    let names = lengths.chain(["é".repeat(127), "€".repeat(85), "n".repeat(64)]);
    for name in names {
        let setup = Setup::of(image(2 * MIB));
        let target = setup.directory.path().join(&name);
        let slow = Fault::Trickle {
            bytes: MIB / 8,
            every: Duration::from_millis(30),
        };
        setup.server.inject(setup.on(slow));
        let gate = Gate::default();
        let request = setup
            .save(1, target.clone())
            .progress(gate.at(MIB as u64 / 8));
        let fetch = tokio::spawn(request.send());
        gate.reached().await;
        fetch.abort();
        gate.open();
        let saved = setup.save(1, &target).await.unwrap();
        assert!(saved.resumed_from > 0, "{name}");
        assert_eq!(setup.files(), [name]);
        assert!(fs::read(&target).unwrap() == setup.image);
    }
}

#[tokio::test]
async fn names_that_no_file_can_have_leave_nothing_and_are_not_fetched() {
    let setup = Setup::of(image(2 * MIB));
    for name in [
        "n".repeat(256),
        "n".repeat(5000),
        "name/".into(),
        "a\0b".into(),
    ] {
        let fetch = setup.save(1, setup.directory.path().join(&name));
        assert_eq!(ends(fetch).await.unwrap_err().kind(), ErrorKind::Io);
        assert!(setup.files().is_empty());
    }
    assert!(setup.server.requests().is_empty());
}

/// Two long names that begin alike have nothing in common.
#[tokio::test]
async fn long_names_are_told_apart() {
    let setup = Setup::of(image(2 * MIB));
    let stall = Fault::StallResponse {
        after: MIB as u64 / 2,
        wait: Duration::from_secs(600),
    };
    setup.server.inject(setup.on(stall));
    let path = |last: &str| setup.directory.path().join("n".repeat(254) + last);
    let fetch = tokio::spawn(setup.save(1, path("1")).send());
    while setup.sent() < MIB as u64 / 2 {
        assert!(!fetch.is_finished(), "{:?}", fetch.await);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    setup.save(1, path("2")).await.unwrap();
    assert!(!fetch.is_finished());
    fetch.abort();
}
