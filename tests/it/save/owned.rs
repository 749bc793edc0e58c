//! A fetch writes, continues and renames its own files only, and they are nobody else's to read.
#![cfg(unix)]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use machine_images::testing::Fault;
use machine_images::{Digest, ErrorKind, Result, Saved};

use super::{CONNECTIONS, Child, Gate, MIB, Setup, ends, image};

/// Nobody, on most systems; another user in any case.
const OTHER: u32 = 65_534;

/// Whether files can be given to others. What cannot be tried must not pass where all is required.
pub(crate) fn is_root(what: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    let required = std::env::var_os("MACHINE_IMAGES_REQUIRE_TOOLS").is_some();
    assert!(is_root || !required, "{what} needs root");
    if !is_root {
        eprintln!("passed over: {what} needs root");
    }
    is_root
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// An error that says which file it is about.
fn assert_names(result: Result<Saved>, name: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
    assert!(format!("{error:?}").contains(name), "{error:?}");
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test]
async fn a_file_that_took_the_place_of_what_was_written_never_gets_the_name() {
    for connections in CONNECTIONS {
        for link in [false, true] {
            let setup = Setup::new();
            let aside = setup.directory.path().join("aside");
            let gate = Gate::default();
            let digest = Digest::of(&setup.image);
            let request = setup.save(connections, setup.target()).sha256(digest);
            let fetch = tokio::spawn(request.progress(gate.at(0)).send());
            gate.reached().await;
            if link {
                // What is there by way of a link is the same file.
                fs::rename(setup.part(), &aside).unwrap();
                std::os::unix::fs::symlink(&aside, setup.part()).unwrap();
            } else {
                fs::remove_file(setup.part()).unwrap();
                fs::remove_file(setup.state()).unwrap();
                fs::write(setup.part(), "another's").unwrap();
            }
            gate.open();
            let error = ends(async { fetch.await.unwrap() }).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
            assert!(!setup.target().is_symlink() && !setup.target().exists());
            assert!(setup.part().exists());
        }
    }
}

#[tokio::test]
async fn a_wrong_digest_counts_more_than_a_file_that_cannot_be_removed() {
    let setup = Setup::new();
    let gate = Gate::default();
    let request = setup.save(1, setup.target()).sha256(Digest::of("another"));
    let fetch = tokio::spawn(request.progress(gate.at(0)).send());
    gate.reached().await;
    fs::write(setup.directory.path().join("new"), "another's").unwrap();
    fs::rename(setup.directory.path().join("new"), setup.part()).unwrap();
    gate.open();
    let error = ends(async { fetch.await.unwrap() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch, "{error:?}");
    assert_eq!(fs::read(setup.part()).unwrap(), b"another's");
}

#[tokio::test]
async fn of_two_fetches_that_do_not_see_each_other_each_renames_its_own_file() {
    for connections in CONNECTIONS {
        for aside in [false, true] {
            let (first, second) = (Setup::new(), Setup::of(image(12 * MIB)));
            let (early, late) = (Gate::default(), Gate::default());
            let request = first
                .save(connections, first.target())
                .progress(early.at(0));
            let fetch = tokio::spawn(request.send());
            early.reached().await;
            fs::remove_file(first.part()).unwrap();
            if !aside {
                fs::remove_file(first.state()).unwrap();
            }
            let request = second
                .save(connections, first.target())
                .progress(late.at(0));
            let other = tokio::spawn(request.send());
            late.reached().await;
            early.open();
            let error = ends(async { fetch.await.unwrap() }).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
            // The other's files are still its own, so that it could be continued.
            assert!(first.part().exists() && first.state().exists());
            late.open();
            ends(async { other.await.unwrap() }).await.unwrap();
            assert_eq!(first.files(), ["disk.qcow2"]);
            assert!(fs::read(first.target()).unwrap() == second.image);
        }
    }
}

/// A fetch that begins again does so in its own files, too.
#[tokio::test]
async fn a_fetch_that_begins_again_leaves_the_files_of_others_alone() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        let gate = Gate::default();
        let cut = Fault::CutResponse {
            after: MIB as u64,
            close: machine_images::testing::Close::Clean,
        };
        setup.server.inject(setup.on(cut));
        let changed = setup
            .on(Fault::IgnoreRange)
            .when(|r| r.header("if-range").is_some());
        setup.server.inject(changed);
        let request = setup.save(connections, setup.target()).progress(gate.at(0));
        let fetch = tokio::spawn(request.send());
        gate.reached().await;
        fs::remove_file(setup.part()).unwrap();
        fs::remove_file(setup.state()).unwrap();
        for path in [setup.part(), setup.state()] {
            fs::write(path, "another's").unwrap();
        }
        gate.open();
        let error = ends(async { fetch.await.unwrap() }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
        for path in [setup.part(), setup.state()] {
            assert_eq!(fs::read(path).unwrap(), b"another's");
        }
    }
}

#[tokio::test]
async fn a_relative_path_is_one_of_the_directory_where_the_fetch_began() {
    let setup = Setup::of(image(2 * MIB));
    let (from, to) = (
        setup.directory.path().join("from"),
        setup.directory.path().join("to"),
    );
    for directory in [&from, &to] {
        fs::create_dir(directory).unwrap();
    }
    fs::write(to.join("disk.part"), "another's").unwrap();
    let url = setup.server.url();
    let child = Child::new(url.as_str(), setup.server.token(), Path::new("disk"));
    let outcome = child.moves(&from, &to).outcome().await;
    assert_eq!(outcome, format!("ok {}", 2 * MIB));
    assert!(fs::read(from.join("disk")).unwrap() == setup.image);
    assert_eq!(fs::read_dir(&from).unwrap().count(), 1);
    assert_eq!(fs::read(to.join("disk.part")).unwrap(), b"another's");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
}

#[tokio::test]
async fn a_fifo_is_refused_and_never_waited_for() {
    for resume in [true, false] {
        let setup = Setup::of(image(2 * MIB));
        for path in [setup.target(), setup.part(), setup.state()] {
            fifo(&path);
            let fetch = setup.save(1, setup.target()).resume(resume);
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert_names(ends(fetch).await, &name);
            assert_eq!(setup.files(), [name]);
            fs::remove_file(path).unwrap();
        }
        assert!(setup.server.requests().is_empty());
    }
}

#[tokio::test]
async fn what_another_user_left_is_not_continued() {
    if !is_root("giving files away") {
        return;
    }
    for connections in CONNECTIONS {
        for (part, state) in [(true, true), (true, false), (false, true)] {
            let setup = Setup::new();
            setup.leave_half(connections).await;
            let evil = vec![0xee; MIB];
            std::os::unix::fs::FileExt::write_all_at(
                &File::options().write(true).open(setup.part()).unwrap(),
                &evil,
                0,
            )
            .unwrap();
            let before = fs::read(setup.part()).unwrap();
            for (path, given) in [(setup.part(), part), (setup.state(), state)] {
                if given {
                    chown(path, Some(OTHER), Some(OTHER)).unwrap();
                }
            }
            let fetch = setup.save(connections, setup.target());
            let name = if part {
                "disk.qcow2.part"
            } else {
                "disk.qcow2.part.state"
            };
            assert_names(ends(fetch).await, name);
            assert!(!setup.target().exists());
            assert!(fs::read(setup.part()).unwrap() == before);
            assert_eq!(setup.files().len(), 2);
        }
    }
}

#[tokio::test]
async fn a_file_with_another_name_is_not_written_to() {
    let setup = Setup::of(image(2 * MIB));
    let bystander = setup.directory.path().join("bystander");
    fs::write(&bystander, "precious").unwrap();
    for resume in [true, false] {
        for path in [setup.part(), setup.state()] {
            fs::hard_link(&bystander, &path).unwrap();
            let fetch = setup.save(1, setup.target()).resume(resume);
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_names(ends(fetch).await, name);
            assert_eq!(fs::read(&bystander).unwrap(), b"precious");
            fs::remove_file(path).unwrap();
        }
    }
    // Nor is what can be continued, but is someone's copy, too.
    fs::remove_file(&bystander).unwrap();
    setup.leave_half(1).await;
    fs::hard_link(setup.part(), &bystander).unwrap();
    let before = fs::read(&bystander).unwrap();
    let fetch = setup.save(1, setup.target());
    assert_names(ends(fetch).await, "disk.qcow2.part");
    assert!(fs::read(&bystander).unwrap() == before);
}

#[tokio::test]
async fn what_others_can_write_to_is_begun_again() {
    for connections in CONNECTIONS {
        for (part, state) in [(0o666, 0o600), (0o620, 0o600), (0o600, 0o602)] {
            let setup = Setup::new();
            setup.leave_half(connections).await;
            let others = File::options().write(true).open(setup.part()).unwrap();
            set_mode(&setup.part(), part);
            set_mode(&setup.state(), state);
            let gate = Gate::default();
            let request = setup.save(connections, setup.target()).progress(gate.at(0));
            let fetch = tokio::spawn(request.send());
            gate.reached().await;
            if part != 0o600 {
                std::os::unix::fs::FileExt::write_all_at(&others, &[0xee; 4096], 0).unwrap();
            }
            gate.open();
            let saved = ends(async { fetch.await.unwrap() }).await.unwrap();
            assert_eq!(saved.resumed_from, 0);
            setup.assert_saved();
        }
    }
}

/// What a file has that is newly made there.
fn usual_mode(directory: &Path) -> u32 {
    let path = directory.join("usual");
    fs::write(&path, "").unwrap();
    let usual = mode(&path);
    fs::remove_file(path).unwrap();
    usual
}

#[tokio::test]
async fn nobody_else_reads_what_is_being_written_and_the_target_has_its_mode() {
    for connections in CONNECTIONS {
        for before in [None, Some(0o600), Some(0o640), Some(0o644), Some(0o400)] {
            let setup = Setup::new();
            let usual = usual_mode(setup.directory.path());
            if let Some(before) = before {
                fs::write(setup.target(), "before").unwrap();
                set_mode(&setup.target(), before);
            }
            let gate = Gate::default();
            let request = setup.save(connections, setup.target()).progress(gate.at(0));
            let fetch = tokio::spawn(request.send());
            gate.reached().await;
            for path in [setup.part(), setup.state()] {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
            gate.open();
            ends(async { fetch.await.unwrap() }).await.unwrap();
            setup.assert_saved();
            assert_eq!(mode(&setup.target()), before.unwrap_or(usual));
        }
    }
}

#[tokio::test]
async fn a_link_or_anothers_file_at_the_target_opens_nothing_to_others() {
    let setup = Setup::of(image(2 * MIB));
    let usual = usual_mode(setup.directory.path());
    let elsewhere = setup.directory.path().join("elsewhere");
    fs::write(&elsewhere, "precious").unwrap();
    set_mode(&elsewhere, 0o666);
    std::os::unix::fs::symlink(&elsewhere, setup.target()).unwrap();
    setup.save(1, setup.target()).await.unwrap();
    assert_eq!(mode(&setup.target()), usual);
    fs::remove_file(setup.target()).unwrap();
    if is_root("giving files away") {
        fs::write(setup.target(), "planted").unwrap();
        set_mode(&setup.target(), 0o666);
        chown(setup.target(), Some(OTHER), Some(OTHER)).unwrap();
        setup.save(1, setup.target()).await.unwrap();
        assert_eq!(mode(&setup.target()) & 0o022, 0);
        assert_eq!(fs::metadata(setup.target()).unwrap().uid(), 0);
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_read_is_no_reason_to_fail() {
    if !is_root("being someone else") {
        return;
    }
    let setup = Setup::of(image(2 * MIB));
    let copies = tempfile::tempdir().unwrap();
    let directory = setup.directory.path().join("write-only");
    set_mode(setup.directory.path(), 0o755);
    fs::create_dir(&directory).unwrap();
    chown(&directory, Some(OTHER), Some(OTHER)).unwrap();
    set_mode(&directory, 0o300);
    let (url, token) = (setup.server.url(), setup.server.token());
    let target = directory.join("disk");
    let child = Child::as_user(OTHER, copies.path(), url.as_str(), token, &target);
    assert_eq!(child.outcome().await, format!("ok {}", 2 * MIB));
    assert!(fs::read(&target).unwrap() == setup.image);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}
