//! `kill -9`.
#![allow(
    clippy::print_stdout,
    reason = "how much was sent twice is worth knowing"
)]

use super::super::MIB;
use super::super::kill::{CONNECTIONS, Killed, kills};
use super::{CLUSTER, Format, Scene, disk};

/// Of 256 MiB and killed so often where that is said, and small otherwise.
#[tokio::test]
async fn a_killed_save_goes_on_and_its_state_was_true() {
    let (size, kills) = match kills() {
        Some(kills) => (256 * MIB, kills),
        None => (16 * MIB, 3),
    };
    for format in [Format::Plain, Format::Zlib] {
        for connections in CONNECTIONS {
            let Some(scene) = Scene::of(format, disk(size)) else {
                return;
            };
            let setup = &scene.setup;
            // What is needed, and what each call reads of the tables.
            let saved = scene.save_raw(1).await.unwrap();
            let needed = saved.fetched;
            let tables = setup.sent() - needed;
            let extents = scene.extents().await;

            let save = Killed {
                setup,
                what: "disk",
                connections,
                length: needed as usize,
            };
            let killed = save.run(kills, || scene.assert_state_is_true(&extents));
            scene.assert_saved();
            let runs = killed as u64 + 1;
            let more = setup.sent().saturating_sub(needed + runs * tables);
            println!(
                "{format:?}, {connections} connections, {killed} kills: {more} bytes more than the \
                 {needed} that are needed, and {tables} of tables each time"
            );
            // A MiB a kill and connection, a cluster, and what the last connections share.
            let most = (killed + 4) * (save.most() * MIB + CLUSTER);
            assert!(more <= most as u64, "{more} after {killed} kills");
        }
    }
}
