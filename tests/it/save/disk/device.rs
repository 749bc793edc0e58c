//! Block devices, by way of loop devices. Where there are none, or no rights, the tests say so.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use machine_images::testing::{Close, Fault, empty_qcow2};
use machine_images::{Digest, ErrorKind};

use super::super::{CONNECTIONS, MIB, Reports, Setup};
use super::{FORMATS, Format, SIZE, Scene};

const GARBAGE: u8 = 7;

/// A loop device full of garbage.
struct Loop {
    device: PathBuf,
    file: tempfile::NamedTempFile,
}

impl Loop {
    fn new(size: usize) -> Option<Self> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![GARBAGE; size]).unwrap();
        let mut setup = Command::new("losetup");
        let output = setup.args(["--find", "--show"]).arg(file.path()).output();
        match output {
            Ok(output) if output.status.success() => {
                let device = String::from_utf8(output.stdout).unwrap();
                let device = device.trim().into();
                Some(Self { device, file })
            }
            // This is no tool that could be installed.
            output => {
                eprintln!("passed over: there are no loop devices here: {output:?}");
                None
            }
        }
    }

    /// Returns all bytes of it, by the file behind it.
    fn bytes(&self) -> Vec<u8> {
        File::open(&self.device).unwrap().sync_all().unwrap();
        std::fs::read(self.file.path()).unwrap()
    }

    /// It has the disk, and its old bytes after that.
    fn assert_has(&self, disk: &[u8]) {
        let bytes = self.bytes();
        assert!(bytes[..disk.len()] == *disk);
        assert!(bytes[disk.len()..].iter().all(|&byte| byte == GARBAGE));
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.device).status();
    }
}

fn images(scene: &Scene) -> machine_images::djinn::Images {
    scene.setup.images()
}

#[tokio::test]
async fn a_device_with_garbage_gets_the_disk() {
    for format in [FORMATS.as_slice(), &[Format::Full]].concat() {
        for connections in CONNECTIONS {
            let Some((scene, device)) = Scene::new(format).zip(Loop::new(SIZE + MIB)) else {
                return;
            };
            // Such as those in /dev/disk/by-id.
            let link = scene.setup.directory.path().join("by-id");
            symlink(&device.device, &link).unwrap();
            for target in [&device.device, &link] {
                let reports = Reports::default();
                let save = images(&scene).save_raw(1, target).connections(connections);
                let saved = save.progress(reports.listener()).await.unwrap();
                assert_eq!((saved.bytes, saved.resumed_from), (SIZE as u64, 0));
                assert_eq!(saved.path, *target);
                reports.assert_good(scene.setup.image.len() as u64);
                device.assert_has(&scene.disk);
                let device = File::options().write(true).open(target).unwrap();
                device.write_all_at(&vec![GARBAGE; SIZE], 0).unwrap();
            }
            assert!(link.is_symlink());
            assert_eq!(scene.setup.files(), ["by-id"]);
            let beside = device.device.with_extension("part");
            assert!(!beside.exists());
        }
    }
}

#[tokio::test]
async fn a_device_for_an_empty_disk_gets_zeros() {
    let Some(device) = Loop::new(2 * MIB) else {
        return;
    };
    for size in [0, 512, MIB + 512] {
        let setup = Setup::of(empty_qcow2(size as u64));
        let saved = setup.images().save_raw(1, &device.device).await.unwrap();
        assert_eq!((saved.bytes, saved.fetched), (size as u64, 0));
        device.assert_has(&vec![0; size]);
    }
}

#[tokio::test]
async fn nothing_is_written_to_a_device_that_is_too_small_or_in_use() {
    let Some(scene) = Scene::new(Format::Plain) else {
        return;
    };
    let Some(small) = Loop::new(SIZE - 512) else {
        return;
    };
    let error = images(&scene).save_raw(1, &small.device).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let text = format!("{error:?}");
    assert!(
        text.contains(&format!("it has {} bytes, and the disk {SIZE}", SIZE - 512)),
        "{text}"
    );
    small.assert_has(&[]);

    let Some(used) = Loop::new(SIZE) else { return };
    // As one that is mounted.
    let mut options = File::options();
    let exclusive = rustix::fs::OFlags::EXCL.bits() as i32;
    let user = options
        .read(true)
        .custom_flags(exclusive)
        .open(&used.device);
    let user = user.unwrap();
    let error = images(&scene).save_raw(1, &used.device).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let text = format!("{error:?}");
    assert!(text.contains("busy"), "{text}");
    used.assert_has(&[]);
    drop(user);
    images(&scene).save_raw(1, &used.device).await.unwrap();
    used.assert_has(&scene.disk);
}

#[tokio::test]
async fn a_device_is_written_by_one_call_at_a_time_and_let_go_when_that_is_dropped() {
    let Some((scene, device)) = Scene::new(Format::Zlib).zip(Loop::new(SIZE)) else {
        return;
    };
    let setup = &scene.setup;
    let slow = Fault::Trickle {
        bytes: 64 * 1024,
        every: Duration::from_millis(10),
    };
    setup.server.inject(setup.on(slow).always());
    let first = tokio::spawn(images(&scene).save_raw(1, &device.device).send());
    while setup.sent() < MIB as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let error = images(&scene)
        .save_raw(1, &device.device)
        .await
        .unwrap_err();
    assert!(format!("{error:?}").contains("busy"), "{error:?}");
    first.abort();
    setup.server.clear_faults();
    let began = Instant::now();
    while let Err(error) = images(&scene).save_raw(1, &device.device).await {
        assert!(format!("{error:?}").contains("busy"), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(1));
    }
    device.assert_has(&scene.disk);
}

#[tokio::test]
async fn wrong_contents_are_told_and_a_device_keeps_what_was_written() {
    let Some((scene, device)) = Scene::new(Format::Zlib).zip(Loop::new(SIZE)) else {
        return;
    };
    let (setup, target) = (&scene.setup, device.device.as_path());
    let wrong = images(&scene)
        .save_raw(1, target)
        .sha256(Digest::new([7; 32]));
    let error = wrong.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch);
    let right = images(&scene).save_raw(1, target);
    right.sha256(Digest::of(&setup.image)).await.unwrap();
    device.assert_has(&scene.disk);
    assert!(setup.files().is_empty());
}

/// Over what is there of the first version, too.
#[tokio::test]
async fn an_image_that_changes_meanwhile_is_written_anew() {
    for connections in CONNECTIONS {
        let Some((scene, device)) = Scene::new(Format::Zlib).zip(Loop::new(SIZE)) else {
            return;
        };
        let setup = &scene.setup;
        let cut = Fault::CutResponse {
            after: 2 * MIB as u64,
            close: Close::Clean,
        };
        setup.server.inject(setup.on(cut).times(2));
        let changed = setup.on(Fault::LastModified { by: 60 });
        let changed = changed.when(|r| r.header("if-range").is_some());
        setup.server.inject(changed.skip(connections));
        let save = images(&scene).save_raw(1, &device.device);
        save.connections(connections).await.unwrap();
        device.assert_has(&scene.disk);
        assert!(Path::new(&device.device).exists());
    }
}
