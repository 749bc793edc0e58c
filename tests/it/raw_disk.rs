//! Raw disks that are uploaded as QCOW2 images.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use machine_images::djinn::{Images, RawDisk, Source};
use machine_images::qcow2::{Code, Compression, Format, Policy};
use machine_images::testing::{Close, DjinnServer, Fault};
use machine_images::{ErrorKind, Progress};
use tempfile::TempDir;

use crate::end_to_end::qemu::{has_qemu_img, qemu_img};

fn site() -> (DjinnServer, Images) {
    let server = DjinnServer::start().unwrap();
    let images = server.client().unwrap().images();
    (server, images)
}

/// A disk of 3 MiB and a byte: numbers, a hole, zeros and noise.
fn disk() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    let mut bytes: Vec<u8> = (0..1 << 20).map(|at: u32| (at / 999) as u8).collect();
    bytes.resize(2 << 20, 0);
    bytes.extend((0..1 << 20).map(|_| fastrand::u8(..)));
    bytes.push(7);
    let mut file = File::create(&path).unwrap();
    file.write_all(&bytes[..1 << 20]).unwrap();
    file.set_len(3 << 19).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
    file.write_all(&bytes[3 << 19..]).unwrap();
    (folder, path)
}

fn kinds(path: &Path) -> Vec<RawDisk> {
    let raw = || Source::raw(path);
    vec![
        raw(),
        raw().compress(Compression::Zlib),
        raw().compress(Compression::Zstd),
    ]
}

#[tokio::test]
async fn qemu_finds_the_same_disk_in_what_the_server_got() {
    let (server, images) = site();
    let (folder, path) = disk();
    for (place, raw) in kinds(&path).into_iter().enumerate() {
        let name = format!("disk-{place}");
        let image = images.create_upload(name, raw).await.unwrap();
        let content = server.content(image.id).unwrap();
        assert_eq!(Format::detect(&content), Format::Qcow2);
        // The hole and the zeros are not in it.
        assert!(content.len() < 5 << 19, "{}", content.len());
        if has_qemu_img() {
            let uploaded = folder.path().join("uploaded.qcow2");
            std::fs::write(&uploaded, content).unwrap();
            qemu_img(&["check", "-f", "qcow2"], &[&uploaded]);
            let formats = ["compare", "-f", "raw", "-F", "qcow2"];
            qemu_img(&formats, &[&path, &uploaded]);
        }
    }
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn the_policy_holds_for_the_image() {
    let (server, images) = site();
    let (_folder, path) = disk();
    for raw in kinds(&path) {
        // The byte at the end makes a whole sector.
        let policy = Policy::default().max_virtual_size((3 << 20) + 511);
        let upload = images.create_upload("x", raw.clone()).policy(policy);
        let error = upload.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ImageRejected);
        assert!(error.inspection().unwrap().has(Code::VirtualSizeLimit));
        assert_eq!(server.requests().len(), 0);
    }
    let policy = Policy::default().max_virtual_size((3 << 20) + 512);
    let upload = images.create_upload("x", Source::raw(&path)).policy(policy);
    upload.await.unwrap();
}

#[tokio::test]
async fn the_length_is_known_from_the_start() {
    let (server, images) = site();
    let (_folder, path) = disk();
    for (place, raw) in kinds(&path).into_iter().enumerate() {
        let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
        let sink = Arc::clone(&seen);
        let upload = images.create_upload(format!("disk-{place}"), raw);
        let upload = upload.progress(move |progress| sink.lock().unwrap().push(progress));
        let image = upload.await.unwrap();
        let length = server.content(image.id).unwrap().len() as u64;
        let seen = seen.lock().unwrap();
        assert!(seen.iter().all(|progress| progress.total == Some(length)));
        assert_eq!(seen.last().unwrap().done, length);
        let requests = server.requests();
        let header = requests.last().unwrap().header("Content-Length");
        assert_eq!(header, Some(length.to_string().as_str()));
    }
}

#[tokio::test]
async fn a_disk_that_shrinks_or_grows_is_an_error_and_no_image() {
    for length in [1 << 20, 4 << 20] {
        for unchecked in [false, true] {
            let (server, images) = site();
            let (_folder, path) = disk();
            for raw in kinds(&path) {
                let victim = File::options().write(true).open(&path).unwrap();
                victim.set_len((3 << 20) + 1).unwrap();
                let change = move |_: Progress| victim.set_len(length).unwrap();
                let mut upload = images.create_upload("x", raw).progress(change);
                if unchecked {
                    upload = upload.unchecked();
                }
                let error = upload.await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Source, "{error:#}");
                assert!(format!("{error:#}").contains("disk.img: "), "{error:#}");
                assert_eq!(server.image_count(), 0);
            }
        }
    }
}

#[tokio::test]
async fn a_lost_response_is_reconciled_and_a_broken_upload_sent_again() {
    let (_folder, path) = disk();
    for raw in kinds(&path) {
        let (server, images) = site();
        let once = images.create_upload("once", raw.clone()).await.unwrap();
        let expected = server.content(once.id).unwrap();
        let close = Close::Reset;
        for (name, fault, sent) in [
            ("lost", Fault::DropResponse { close }, 1),
            (
                "broken",
                Fault::CutRequest {
                    after: 300_000,
                    close,
                },
                2,
            ),
        ] {
            let before = posts(&server);
            server.inject(fault.on("POST", "/images"));
            let upload = images.create_upload(name, raw.clone()).reconcile(true);
            let image = upload.await.unwrap();
            assert!(server.content(image.id).unwrap() == expected, "{name}");
            assert_eq!(posts(&server) - before, sent, "{name}");
        }
    }
}

fn posts(server: &DjinnServer) -> usize {
    let requests = server.requests();
    let posts = requests.iter().filter(|request| request.method == "POST");
    posts.count()
}

#[tokio::test]
async fn a_disk_that_cannot_be_sent_makes_no_request() {
    let (server, images) = site();
    let (folder, path) = disk();
    for (raw, text) in [
        (Source::raw(folder.path()), "neither a regular file"),
        (Source::raw(folder.path().join("missing")), "missing: "),
        (
            Source::raw(&path).compress(Compression::Other(7)),
            "compression type 7 is unknown",
        ),
    ] {
        let error = images.create_upload("x", raw).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source);
        assert!(format!("{error:#}").contains(text), "{error:#}");
    }
    assert_eq!(server.requests(), []);
}
