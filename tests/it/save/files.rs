//! What is on the disk meanwhile and afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use machine_images::ErrorKind;
use machine_images::testing::{Close, Fault};

use super::{CONNECTIONS, LENGTH, MIB, Setup};

#[tokio::test]
async fn an_existing_target_stays_until_the_new_one_is_whole() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
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
        setup.server.inject(setup.on(Fault::CutResponse {
            after: MIB as u64,
            close: Close::Reset,
        }));
        setup.save(connections, setup.target()).await.unwrap();
        done.store(true, Ordering::Relaxed);
        assert_eq!(watcher.join().unwrap(), [6, LENGTH as u64]);
        setup.assert_saved();
    }
}

#[tokio::test]
async fn of_two_fetches_to_one_target_one_is_told_so() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        let slow = Fault::Trickle {
            bytes: 64 * 1024,
            every: Duration::from_millis(20),
        };
        setup.server.inject(setup.on(slow).always());
        let first = tokio::spawn(setup.save(connections, setup.target()).send());
        while setup.sent() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let second = setup.save(connections, setup.target()).await;
        assert_eq!(second.unwrap_err().kind(), ErrorKind::Busy);
        assert!(!first.is_finished());
        // Another target is another matter.
        setup.server.clear_faults();
        let other = setup.directory.path().join("other");
        setup.save(connections, other).await.unwrap();
        first.abort();
    }
}

#[tokio::test]
async fn fetches_one_after_the_other_never_meet() {
    let setup = Setup::of(super::image(MIB));
    let fetches: Vec<_> = (0..8)
        .map(|_| tokio::spawn(setup.save(1, setup.target()).send()))
        .collect();
    for fetch in fetches {
        match fetch.await.unwrap() {
            Ok(saved) => assert_eq!(saved.bytes, MIB as u64),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Busy),
        }
    }
    setup.assert_saved();
}

#[tokio::test]
async fn without_resumption_nothing_stays_behind() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        setup.leave_half(connections).await;
        let cut = Fault::CutResponse {
            after: MIB as u64,
            close: Close::Clean,
        };
        setup.server.inject(setup.on(cut.clone()));
        setup.server.inject(setup.on(Fault::status(404)).always());
        let request = setup.save(connections, setup.target()).resume(false);
        request.await.unwrap_err();
        assert!(setup.files().is_empty(), "{:?}", setup.files());
        assert!(setup.server.requests()[0].header("if-range").is_none());

        // Nor if it is dropped.
        setup.server.clear_faults();
        setup.server.clear_requests();
        setup.server.inject(
            setup
                .on(Fault::StallResponse {
                    after: 2 * MIB as u64,
                    wait: Duration::from_secs(600),
                })
                .always(),
        );
        let request = setup.save(connections, setup.target()).resume(false);
        let fetch = tokio::spawn(request.send());
        while setup.sent() < MIB as u64 || setup.files().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fetch.abort();
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
        setup.server.inject(setup.on(cut));
        let request = setup.save(connections, setup.target()).resume(false);
        let saved = request.await.unwrap();
        assert_eq!(saved.resumed_from, 0);
        setup.assert_saved();
    }
}

#[tokio::test]
async fn a_fetch_that_was_refused_leaves_nothing_and_spoils_nothing() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        setup.server.inject(setup.on(Fault::status(404)));
        setup.save(connections, setup.target()).await.unwrap_err();
        assert!(setup.files().is_empty());
        setup.leave_half(connections).await;
        // JSON, as to one whose Accept it does not know.
        for fault in [
            Fault::status(404),
            Fault::header("Content-Type", "application/json"),
            Fault::Html { status: 200 },
        ] {
            setup.server.inject(setup.on(fault).times(connections));
            setup.save(connections, setup.target()).await.unwrap_err();
            setup.server.clear_faults();
        }
        let saved = setup.save(connections, setup.target()).await.unwrap();
        assert!(saved.resumed_from > LENGTH as u64 / 4);
        setup.assert_saved();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn runs_of_zeros_are_holes_even_over_what_was_there() {
    use std::os::unix::fs::MetadataExt;

    for connections in CONNECTIONS {
        let mut image = vec![0; LENGTH];
        image[..4].copy_from_slice(b"QFI\xfb");
        image[10 * MIB..11 * MIB].fill(1);
        let setup = Setup::of(image);
        // Beside them is what no state tells of.
        std::fs::write(setup.part(), vec![9; LENGTH]).unwrap();
        setup.save(connections, setup.target()).await.unwrap();
        setup.assert_saved();
        let blocks = std::fs::metadata(setup.target()).unwrap().blocks() * 512;
        assert!((MIB as u64..2 * MIB as u64).contains(&blocks), "{blocks}");
    }
}

/// What lies in a gap may be left over from a write that no state tells of.
#[cfg(unix)]
#[tokio::test]
async fn zeros_are_written_where_something_else_may_be() {
    use std::os::unix::fs::FileExt;

    for connections in CONNECTIONS {
        let mut image = super::image(LENGTH);
        image[LENGTH / 4..].fill(0);
        let setup = Setup::of(image);
        setup.leave_half(connections).await;
        let mut done = vec![false; LENGTH];
        for record in setup.records() {
            let spans: Vec<(usize, usize)> =
                serde_json::from_value(record["written"].clone()).unwrap();
            for (start, end) in spans {
                done[start..end].fill(true);
            }
        }
        let part = std::fs::File::options()
            .write(true)
            .open(setup.part())
            .unwrap();
        for (number, block) in done.chunks(4096).enumerate() {
            if block.len() == 4096 && !block.contains(&true) {
                part.write_all_at(&[9; 64], number as u64 * 4096).unwrap();
            }
        }
        drop(part);
        let saved = setup.save(connections, setup.target()).await.unwrap();
        assert!(saved.resumed_from > 0);
        setup.assert_saved();
    }
}

#[tokio::test]
async fn where_nothing_can_be_saved_nothing_is_asked_for() {
    let setup = Setup::of(super::image(MIB));
    let here = setup.directory.path().to_owned();
    std::fs::create_dir(here.join("directory")).unwrap();
    std::fs::create_dir(here.join("taken.part")).unwrap();
    std::fs::create_dir(here.join("state.part.state")).unwrap();
    let mut targets = vec![
        here.join("directory"),
        here.join("missing").join("disk"),
        here.join("taken"),
        here.join("state"),
        "".into(),
        here.join("directory").join(".."),
    ];
    // As a device would be, which the rename would replace.
    #[cfg(unix)]
    let _socket = {
        targets.push(here.join("socket"));
        std::os::unix::net::UnixListener::bind(here.join("socket")).unwrap()
    };
    for target in targets {
        let error = setup.save(1, &target).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{}", target.display());
    }
    assert!(setup.server.requests().is_empty());
    assert!(here.join("state.part.state").is_dir());
    assert!(!here.join("socket").is_file() && !here.join("socket.part").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_is_replaced_at_the_target_and_never_followed_beside_it() {
    use std::os::unix::fs::symlink;

    let setup = Setup::of(super::image(MIB));
    let other = setup.directory.path().join("other");
    std::fs::write(&other, "precious").unwrap();
    symlink(&other, setup.part()).unwrap();
    let error = setup.save(1, setup.target()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    std::fs::remove_file(setup.part()).unwrap();
    symlink(&other, setup.target()).unwrap();
    setup.save(1, setup.target()).await.unwrap();
    assert_eq!(std::fs::read(&other).unwrap(), b"precious");
    std::fs::remove_file(&other).unwrap();
    setup.assert_saved();
}

/// Needs root and Linux; says so where it cannot run.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_an_error_that_can_be_continued_from() {
    use std::process::Command;

    for connections in CONNECTIONS {
        let setup = Setup::new();
        let disk = setup.directory.path().join("disk");
        std::fs::create_dir(&disk).unwrap();
        let mount = |options: &str| {
            let mut mount = Command::new("mount");
            mount
                .args(["-t", "tmpfs", "-o", options, "tmpfs"])
                .arg(&disk);
            mount.output().is_ok_and(|output| output.status.success())
        };
        if !mount("size=8m") {
            // Nothing else here can be full.
            return;
        }
        let target = disk.join("disk.qcow2");
        let other = disk.join("other");
        let _ = std::fs::write(&other, vec![1; 9 * MIB]);
        let nothing = setup.save(connections, &target).await;
        let left = std::fs::read_dir(&disk).unwrap().count();
        std::fs::remove_file(&other).unwrap();
        let full = setup.save(connections, &target).await;
        let grown = mount("remount,size=64m");
        let saved = setup.save(connections, &target).await;
        let bytes = std::fs::read(&target);
        let unmounted = Command::new("umount").arg("-l").arg(&disk).status();
        assert!(grown && unmounted.unwrap().success());
        assert_eq!(nothing.unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(left, 1);
        let error = full.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(saved.unwrap().resumed_from > 4 * MIB as u64);
        assert!(bytes.unwrap() == setup.image);
    }
}

#[tokio::test]
async fn an_image_of_a_mib_has_no_state_and_a_larger_one_has() {
    for (length, is_kept) in [(MIB, false), (MIB + 1, true)] {
        let setup = Setup::of(super::image(length));
        let (state, seen) = (setup.state(), Arc::new(AtomicBool::new(false)));
        let has_seen = seen.clone();
        let save = setup.save(1, setup.target());
        let save = save.progress(move |_: machine_images::Progress| {
            has_seen.fetch_or(state.exists(), Ordering::Relaxed);
        });
        save.await.unwrap();
        assert_eq!(seen.load(Ordering::Relaxed), is_kept, "{length}");
        setup.assert_saved();
    }
}
