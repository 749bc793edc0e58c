//! What is on the disk meanwhile and afterwards.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use machine_images::testing::empty_qcow2;
use machine_images::{ErrorKind, WhenBusy};

use super::super::{CONNECTIONS, Gate, MIB, Reports, Setup};
use super::{Format, Scene};

#[tokio::test]
async fn an_existing_target_stays_until_the_new_one_is_whole() {
    for connections in CONNECTIONS {
        let Some(scene) = Scene::new(Format::Zlib) else {
            return;
        };
        let setup = &scene.setup;
        std::fs::write(setup.target(), "before").unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let watcher = std::thread::spawn({
            let (target, done) = (setup.target(), done.clone());
            move || {
                let mut lengths = Vec::new();
                loop {
                    let is_last = done.load(Ordering::Relaxed);
                    lengths.push(std::fs::metadata(&target).unwrap().len());
                    lengths.dedup();
                    if is_last {
                        return lengths;
                    }
                }
            }
        });
        scene.save_raw(connections).await.unwrap();
        done.store(true, Ordering::Relaxed);
        assert_eq!(watcher.join().unwrap(), [6, scene.disk.len() as u64]);
        scene.assert_saved();
    }
}

#[tokio::test]
async fn its_mode_and_time_are_those_that_save_gives() {
    let Some(scene) = Scene::new(Format::Plain) else {
        return;
    };
    let (setup, other) = (&scene.setup, scene.setup.directory.path().join("other"));
    for mode in [None, Some(0o640)] {
        if let Some(mode) = mode {
            for path in [setup.target(), other.clone()] {
                std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
            }
        }
        scene.save_raw(1).await.unwrap();
        setup.save(1, &other).await.unwrap();
        let (raw, saved) = (
            setup.target().metadata().unwrap(),
            other.metadata().unwrap(),
        );
        assert_eq!(raw.modified().unwrap(), saved.modified().unwrap());
        assert_eq!(raw.mode(), saved.mode());
    }
}

#[tokio::test]
async fn of_two_calls_to_one_target_one_fails_or_waits() {
    let Some(scene) = Scene::new(Format::Plain) else {
        return;
    };
    let setup = &scene.setup;
    let gate = Gate::default();
    let first = scene.save_raw(1).progress(gate.at(MIB as u64));
    let first = tokio::spawn(first.send());
    gate.reached().await;
    let error = scene.save_raw(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    // Nor can the image be saved there.
    let error = setup.save(1, setup.target()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(!first.is_finished());
    let second = scene.save_raw(1).when_busy(WhenBusy::Wait).send();
    gate.open();
    let (first, second) = tokio::join!(first, second);
    first.unwrap().unwrap();
    assert_eq!(second.unwrap().resumed_from, 0);
    scene.assert_saved();
}

/// Nothing is fetched of it but the header and the tables.
#[tokio::test]
async fn a_disk_without_data_is_one_hole() {
    for connections in CONNECTIONS {
        for size in [0, 512, 10 << 20, 5 << 40] {
            let setup = Setup::of(empty_qcow2(size));
            let reports = Reports::default();
            let save = setup.images().save_raw(1, setup.target());
            let save = save.connections(connections).durable(false);
            let saved = save.progress(reports.listener()).await.unwrap();
            assert_eq!(
                (saved.bytes, saved.fetched, saved.resumed_from),
                (size, 0, 0)
            );
            let found = setup.target().metadata().unwrap();
            assert_eq!((found.len(), found.blocks()), (size, 0));
            assert_eq!(setup.files(), ["disk.qcow2"]);
            let length = setup.image.len() as u64;
            let last = reports.assert_good(length);
            assert_eq!(last.resumed, length);
        }
    }
}

#[tokio::test]
async fn where_nothing_can_be_saved_nothing_is_asked_for() {
    let setup = Setup::of(empty_qcow2(10 << 20));
    let here = setup.directory.path();
    std::fs::create_dir(here.join("directory")).unwrap();
    let link = here.join("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    for (target, why) in [
        (here.join("directory"), "no regular file"),
        ("/dev/null".into(), "no regular file"),
        (link, "no regular file"),
        (here.join("missing").join("disk"), "No such file"),
    ] {
        let error = setup.images().save_raw(1, &target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{}", target.display());
        let text = format!("{error:?}");
        assert!(text.contains(why), "{text}");
    }
    assert!(setup.server.requests().is_empty());
    assert!(!std::path::Path::new("/dev/null.part").exists());
}

/// Needs root and Linux; says so where it cannot run.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_an_error_that_can_be_continued_from() {
    use std::process::Command;

    for format in [Format::Plain, Format::Zlib] {
        for connections in CONNECTIONS {
            let Some(scene) = Scene::new(format) else {
                return;
            };
            let disk = scene.setup.directory.path().join("disk");
            std::fs::create_dir(&disk).unwrap();
            let mount = |options: &str| {
                let mut mount = Command::new("mount");
                let mount = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]);
                let output = mount.arg(&disk).output();
                output.is_ok_and(|output| output.status.success())
            };
            if !mount("size=12m") {
                eprintln!("passed over: nothing can be mounted here");
                return;
            }
            let target = disk.join("disk.raw");
            let save = || {
                let save = scene.setup.images().save_raw(1, &target);
                save.connections(connections).durable(false)
            };
            let full = save().await;
            let grown = mount("remount,size=64m");
            let saved = save().await;
            let bytes = std::fs::read(&target);
            let unmounted = Command::new("umount").arg("-l").arg(&disk).status();
            assert!(grown && unmounted.unwrap().success());
            let error = full.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(format!("{error:?}").contains("No space left"), "{error:?}");
            assert!(saved.unwrap().resumed_from > 3 * MIB as u64);
            assert!(bytes.unwrap() == scene.disk);
        }
    }
}
