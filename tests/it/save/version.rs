//! Nothing of two versions is ever put together.

use std::sync::atomic::{AtomicBool, Ordering};

use machine_images::testing::{Close, Fault};
use machine_images::{Digest, ErrorKind};

use super::raw::{KIND, Raw};
use super::{CONNECTIONS, LENGTH, MIB, Reports, Setup};

const CUT: Fault = Fault::CutResponse {
    after: MIB as u64,
    close: Close::Clean,
};

/// What a request with a range and a validator can be answered wrongly.
fn wrong() -> [(Fault, Option<ErrorKind>); 5] {
    [
        (Fault::IgnoreRange, None),
        (Fault::LastModified { by: 60 }, None),
        (Fault::RangeTotal { by: 1 }, None),
        (Fault::RangeStart { by: 1 }, Some(ErrorKind::Range)),
        (Fault::status(416), None),
    ]
}

#[tokio::test]
async fn an_answer_of_another_version_starts_again_once() {
    for connections in CONNECTIONS {
        for (fault, kind) in wrong() {
            let setup = Setup::new();
            setup.server.inject(setup.on(CUT));
            let rule = setup
                .on(fault.clone())
                .when(|r| r.header("if-range").is_some());
            setup.server.inject(rule.skip(connections - 1));
            let reports = Reports::default();
            let request = setup
                .save(connections, setup.target())
                .progress(reports.listener());
            let result = request.await;
            match kind {
                None => {
                    assert!(result.unwrap().fetched >= LENGTH as u64, "{fault:?}");
                    reports.assert_good(LENGTH as u64);
                }
                Some(kind) => {
                    assert_eq!(result.unwrap_err().kind(), kind, "{fault:?}");
                    assert!(!setup.target().exists());
                    setup.save(connections, setup.target()).await.unwrap();
                }
            }
            setup.assert_saved();
        }
    }
}

#[tokio::test]
async fn a_version_that_changes_again_is_a_typed_error() {
    for connections in CONNECTIONS {
        for fault in [
            Fault::IgnoreRange,
            Fault::RangeTotal { by: 1 },
            Fault::status(416),
        ] {
            let setup = Setup::new();
            setup.server.inject(setup.on(CUT));
            let rule = setup
                .on(fault.clone())
                .when(|r| r.header("if-range").is_some());
            setup.server.inject(rule.always());
            // So that there is something to continue after the second beginning, too.
            setup.server.inject(setup.on(CUT).always());
            std::fs::write(setup.target(), "before").unwrap();
            let error = setup.save(connections, setup.target()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Changed, "{fault:?}");
            assert_eq!(std::fs::read(setup.target()).unwrap(), b"before");
            setup.server.clear_faults();
            setup.save(connections, setup.target()).await.unwrap();
            setup.assert_saved();
        }
    }
}

/// The first bytes of the answer are of the new version, and so is everything else.
#[tokio::test]
async fn what_an_earlier_fetch_left_is_dropped_if_the_image_changed() {
    for connections in CONNECTIONS {
        for fault in [
            Fault::IgnoreRange,
            Fault::LastModified { by: -5 },
            Fault::RangeTotal { by: 7 },
            Fault::status(416),
        ] {
            let setup = Setup::new();
            setup.leave_half(connections).await;
            let rule = setup
                .on(fault.clone())
                .when(|r| r.header("if-range").is_some());
            setup.server.inject(rule);
            let saved = setup.save(connections, setup.target()).await.unwrap();
            assert_eq!(saved.resumed_from, 0, "{fault:?}");
            assert!(saved.fetched >= LENGTH as u64);
            setup.assert_saved();
        }
    }
}

/// Such as one that was killed between its last byte and its end.
#[tokio::test]
async fn even_a_fetch_that_lacks_nothing_asks_for_the_version() {
    for connections in CONNECTIONS {
        for changed in [false, true] {
            let setup = Setup::new();
            // A directory that comes in between keeps it from being renamed.
            let (target, made) = (setup.target(), AtomicBool::new(false));
            let request = setup.save(connections, setup.target()).progress(move |_| {
                if !made.swap(true, Ordering::Relaxed) {
                    std::fs::create_dir(&target).unwrap();
                }
            });
            let error = request.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            std::fs::remove_dir(setup.target()).unwrap();

            setup.server.clear_requests();
            if changed {
                let fault = setup.on(Fault::LastModified { by: 60 });
                setup
                    .server
                    .inject(fault.when(|r| r.header("if-range").is_some()));
            }
            let saved = setup.save(connections, setup.target()).await.unwrap();
            assert!(setup.server.requests()[0].header("if-range").is_some());
            let fetched = if changed { LENGTH } else { 1 };
            assert!((fetched..fetched + 2 * MIB).contains(&(saved.fetched as usize)));
            assert_eq!(saved.resumed_from == 0, changed);
            setup.assert_saved();
        }
    }
}

#[tokio::test]
async fn without_a_validator_one_connection_does_it() {
    for connections in CONNECTIONS {
        let setup = Setup::new();
        let none = Fault::WithoutHeader {
            name: "last-modified".into(),
        };
        setup.server.inject(setup.on(none).always());
        let saved = setup.save(connections, setup.target()).await.unwrap();
        assert_eq!((saved.connections, saved.resumed_from), (1, 0));
        setup.assert_saved();
    }
}

/// And a weak entity tag is none.
#[tokio::test]
async fn without_a_validator_a_cut_line_means_to_begin_again() {
    for connections in CONNECTIONS {
        let image = super::image(MIB);
        let server = Raw::start(move |head, number| {
            assert!(!head.contains("if-range"), "{head}");
            let length = if number < 3 { 300_000 } else { image.len() };
            let mut answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {KIND}\r\nETag: W/\"1\"\r\nContent-Length: {}\r\n\r\n",
                image.len()
            )
            .into_bytes();
            answer.extend_from_slice(&image[..length]);
            answer
        });
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("disk");
        let reports = Reports::default();
        let request = server
            .client()
            .images()
            .save(1, &target)
            .unchecked()
            .connections(connections);
        let request = request.progress(reports.listener());
        let saved = request.await.unwrap();
        assert!(saved.fetched > MIB as u64);
        assert!(std::fs::read(&target).unwrap() == super::image(MIB));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        reports.assert_good(MIB as u64);
    }
}

#[tokio::test]
async fn contents_of_unknown_length_are_saved_whole() {
    for connections in CONNECTIONS {
        // It ends in zeros, which become a hole.
        let mut image = super::image(MIB);
        image.resize(2 * MIB, 0);
        let body = image.clone();
        let server = Raw::start(move |_, _| {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {KIND}\r\nConnection: close\r\n\r\n");
            [head.as_bytes(), &body].concat()
        });
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("disk");
        let digest = Digest::of(&image);
        let request = server
            .client()
            .images()
            .save(1, &target)
            .unchecked()
            .connections(connections);
        let saved = request.sha256(digest).await.unwrap();
        assert_eq!(saved.bytes, 2 * MIB as u64);
        assert!(std::fs::read(&target).unwrap() == image);
    }
}

/// RFC 9110 lets a server answer with a part of the range.
#[tokio::test]
async fn shorter_ranges_than_asked_for_are_put_together() {
    for connections in CONNECTIONS {
        let image = super::image(9 * MIB + 5);
        let expected = image.clone();
        let server = Raw::start(move |head, _| {
            let range = head
                .lines()
                .find_map(|line| line.strip_prefix("range: bytes=")?.split_once('-'));
            let number = |digits: &str| digits.parse::<usize>().ok();
            let start = range.and_then(|(first, _)| number(first)).unwrap_or(0);
            let last = range.and_then(|(_, last)| number(last));
            let asked = last.map_or(image.len(), |last| image.len().min(last + 1));
            let end = asked.min(start + MIB);
            let whole = range.is_none();
            let (status, end) = if whole {
                ("200 OK", image.len())
            } else {
                ("206 Partial Content", end)
            };
            let mut answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {KIND}\r\nETag: \"1\"\r\nContent-Length: {}\r\n",
                end - start
            );
            if !whole {
                answer += &format!(
                    "Content-Range: bytes {start}-{}/{}\r\n",
                    end - 1,
                    image.len()
                );
            }
            // The whole is cut, so that ranges are asked for.
            let sent = if whole { 2 * MIB } else { end };
            [answer.as_bytes(), b"\r\n", &image[start..sent]].concat()
        });
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("disk");
        let request = server
            .client()
            .images()
            .save(1, &target)
            .unchecked()
            .connections(connections);
        request.await.unwrap();
        assert!(std::fs::read(&target).unwrap() == expected);

        let content = server.client().images().content(1).range(1..8_000_000);
        let bytes = content.send().await.unwrap().bytes().await.unwrap();
        assert!(bytes == expected[1..8_000_000]);
    }
}

#[tokio::test]
async fn a_wrong_digest_leaves_no_file_and_the_right_one_is_told() {
    let right = |image: &[u8]| Digest::of(image);
    for connections in CONNECTIONS {
        let setup = Setup::new();
        let digest = right(&setup.image);
        let request = setup
            .save(connections, setup.target())
            .sha256(Digest::new([7; 32]));
        let error = request.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DigestMismatch);
        assert!(setup.files().is_empty());

        std::fs::write(setup.target(), "before").unwrap();
        let request = setup
            .save(connections, setup.target())
            .sha256(Digest::new([7; 32]));
        request.await.unwrap_err();
        assert_eq!(setup.files(), ["disk.qcow2"]);
        assert_eq!(std::fs::read(setup.target()).unwrap(), b"before");
        std::fs::remove_file(setup.target()).unwrap();

        // Over what was there before as well.
        setup.leave_half(connections).await;
        let request = setup.save(connections, setup.target()).sha256(digest);
        let saved = request.await.unwrap();
        assert!(saved.resumed_from > 0);
        assert_eq!(saved.sha256, Some(digest));
        setup.assert_saved();
    }
}
