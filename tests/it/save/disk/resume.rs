//! Saves that are dropped, and what the next one makes of what they left.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, Instant};

use machine_images::testing::Fault;

use super::super::{CONNECTIONS, MIB, Reports, Setup};
use super::{CLUSTER, FORMATS, Format, Scene, disk, guest};

#[tokio::test]
async fn a_dropped_save_is_resumed() {
    for (format, connections) in FORMATS
        .into_iter()
        .zip([1, 4, 4])
        .chain([(Format::Zlib, 1)])
    {
        let Some(scene) = Scene::new(format) else {
            return;
        };
        let needed = scene.save_raw(1).await.unwrap().fetched;
        std::fs::remove_file(scene.setup.target()).unwrap();
        scene.leave_half(connections).await;
        let reports = Reports::default();
        let save = scene.save_raw(connections).progress(reports.listener());
        let saved = save.await.unwrap();
        scene.assert_saved();
        // Each of the connections may have what it fetched last, not yet recorded, once more.
        let (resumed, fetched) = (saved.resumed_from, saved.fetched);
        let twice = (resumed + fetched).saturating_sub(needed);
        assert!(
            resumed > needed / 4 && resumed < needed,
            "{saved:?} of {needed}"
        );
        assert!(twice <= (connections * MIB + CLUSTER) as u64, "{twice}");
        assert_eq!((saved.bytes, saved.sha256), (scene.disk.len() as u64, None));
        // What is not needed counts as resumed.
        let length = scene.setup.image.len() as u64;
        let last = reports.assert_good(length);
        assert!(last.resumed >= resumed, "{last:?} {saved:?}");
        let all = last.resumed + fetched;
        assert!(
            (length..=length + twice).contains(&all),
            "{all} of {length}"
        );
    }
}

#[tokio::test]
async fn a_dropped_save_stops_within_a_second() {
    for connections in CONNECTIONS {
        let Some(scene) = Scene::new(Format::Zlib) else {
            return;
        };
        let slow = Fault::Trickle {
            bytes: 128 * 1024,
            every: Duration::from_millis(10),
        };
        let setup = &scene.setup;
        setup.server.inject(setup.on(slow).always());
        let save = scene.save_raw(connections).send();
        let dropped = tokio::time::timeout(Duration::from_millis(400), save).await;
        assert!(dropped.is_err());
        let began = Instant::now();
        while !setup.is_let_go() {
            assert!(began.elapsed() < Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        setup.server.clear_faults();
        scene.save_raw(connections).await.unwrap();
        scene.assert_saved();
    }
}

/// Not even if the image is as long as its disk.
#[tokio::test]
async fn what_save_left_is_nothing_to_save_raw_nor_the_other_way_round() {
    for connections in CONNECTIONS {
        let Some(mut scene) = Scene::new(Format::Plain) else {
            return;
        };
        let mut image = scene.setup.image;
        image.resize(scene.disk.len(), 0);
        scene.setup = Setup::of(image);
        let setup = &scene.setup;
        setup.leave_half(connections).await;
        let saved = scene.save_raw(connections).await.unwrap();
        assert_eq!(saved.resumed_from, 0);
        scene.assert_saved();
        std::fs::remove_file(setup.target()).unwrap();

        scene.leave_half(connections).await;
        let saved = setup.save(connections, setup.target()).await.unwrap();
        assert_eq!(saved.resumed_from, 0);
        setup.assert_saved();
    }
}

/// By its date, by its length, and by the size of its disk alone.
#[tokio::test]
async fn another_image_on_the_server_starts_anew() {
    for format in [Format::Plain, Format::Zlib] {
        let Some(scene) = Scene::new(format) else {
            return;
        };
        let mut other = disk(scene.disk.len());
        other[..CLUSTER].fill(5);
        let longer = disk(scene.disk.len() + MIB);
        // The same tables and clusters, but for the last one's length.
        let mut cut = scene.setup.image.clone();
        let size = scene.disk.len() - 512;
        cut[24..32].copy_from_slice(&(size as u64).to_be_bytes());
        let cases = [
            (format.image(&other), other, 60),
            (format.image(&longer), longer, 0),
            (cut, scene.disk[..size].to_vec(), 0),
        ];
        for (image, disk, later) in cases {
            // The first one again.
            scene.replace(&scene.setup.image, 3600).await;
            scene.leave_half(1).await;
            scene.replace(&image, later).await;
            let saved = scene.save_raw(4).await.unwrap();
            assert_eq!(saved.resumed_from, 0, "{later}");
            assert_eq!(scene.setup.files(), ["disk.qcow2"]);
            assert!(std::fs::read(scene.setup.target()).unwrap() == disk);
            std::fs::remove_file(scene.setup.target()).unwrap();
        }
    }
}

#[tokio::test]
async fn without_resumption_nothing_is_used_and_nothing_left() {
    for connections in CONNECTIONS {
        let Some(scene) = Scene::new(Format::Zlib) else {
            return;
        };
        let setup = &scene.setup;
        scene.leave_half(connections).await;
        // Dropped half-way.
        let stall = Fault::StallResponse {
            after: MIB as u64,
            wait: Duration::from_secs(600),
        };
        setup.server.inject(setup.on(stall).always());
        let save = tokio::spawn(scene.save_raw(connections).resume(false).send());
        while setup.sent() < MIB as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        save.abort();
        let began = Instant::now();
        while !setup.files().is_empty() {
            assert!(
                began.elapsed() < Duration::from_secs(1),
                "{:?}",
                setup.files()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        setup.server.clear_faults();

        scene.leave_half(connections).await;
        let saved = scene.save_raw(connections).resume(false).await.unwrap();
        assert_eq!(saved.resumed_from, 0);
        scene.assert_saved();
    }
}

/// What lies outside of what the state tells may be left over from a write that it does not tell of.
#[tokio::test]
async fn zeros_of_the_image_are_holes_even_over_what_was_there() {
    for connections in CONNECTIONS {
        let Some(scene) = Scene::new(Format::Full) else {
            return;
        };
        let setup = &scene.setup;
        let extents = scene.extents().await;
        let holes = |disk: &[u8]| {
            disk.chunks(CLUSTER)
                .filter(|c| c.iter().all(|b| *b == 0))
                .count()
        };
        let most = (scene.disk.len() - holes(&scene.disk) * CLUSTER + MIB) as u64;
        let blocks = || std::fs::metadata(setup.target()).unwrap().blocks() * 512;
        scene.save_raw(connections).await.unwrap();
        assert!(blocks() < most, "{} of {most}", blocks());
        std::fs::remove_file(setup.target()).unwrap();

        scene.leave_half(connections).await;
        let mut is_done = vec![false; scene.disk.len()];
        for range in guest(&scene.claimed("written"), &extents) {
            is_done[range].fill(true);
        }
        let part = std::fs::File::options().write(true).open(setup.part());
        let part = part.unwrap();
        for (number, block) in is_done.chunks(4096).enumerate() {
            if block.len() == 4096 && !block.contains(&true) {
                part.write_all_at(&[9; 4096], number as u64 * 4096).unwrap();
            }
        }
        drop(part);
        let saved = scene.save_raw(connections).await.unwrap();
        assert!(saved.resumed_from > 0);
        scene.assert_saved();
        if cfg!(target_os = "linux") {
            assert!(blocks() < most, "{} of {most}", blocks());
        }
    }
}
