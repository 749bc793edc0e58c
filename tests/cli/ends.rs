//! How the program ends when it is not let to its own end.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use machine_images::testing::{Close, DjinnServer, Fault};

use super::on;

#[test]
fn a_closed_standard_output_ends_it_quietly() {
    let server = DjinnServer::start().unwrap();
    server.add_images(2_000).unwrap();
    for args in [
        &["djinn", "list"][..],
        &["--json", "djinn", "list"],
        &["--json", "djinn", "list", "--prefetch", "4"],
    ] {
        let mut program = on(&server);
        program.args(args);
        let mut child = program
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        // The pipe is closed with most of it unread.
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut first).unwrap();
        drop(out);

        let output = child.wait_with_output().unwrap();

        assert!(!first.is_empty());
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{args:?}");
    }
}

#[test]
fn an_upload_that_fails_ends_while_standard_input_stays_open() {
    let server = DjinnServer::start().unwrap();
    let mut image = std::fs::read(super::DISK).unwrap();
    image.truncate(image.len() / 2);
    let early = Fault::EarlyResponse {
        status: 413,
        after: 1000,
        close: Close::Clean,
    };
    for (fault, head) in [(None, vec![1; 1 << 20]), (Some(early), image)] {
        if let Some(fault) = fault {
            server.inject(fault.on("POST", "/images"));
        }
        let mut program = on(&server);
        program.args(["djinn", "upload", "web", "-"]);
        program.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // It may have ended by the time that all of it is written.
        let _ = input.write_all(&head);

        let began = Instant::now();
        while child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(10));
        }

        let ended = child.try_wait().unwrap().expect("it goes on");
        drop(input);
        let mut error = String::new();
        child.stderr.unwrap().read_to_string(&mut error).unwrap();
        assert!(
            error.starts_with("error: create image \"web\": "),
            "{error}"
        );
        assert_eq!(ended.code(), Some(1));
    }
}

#[cfg(unix)]
#[test]
fn a_limit_on_files_is_an_error() {
    let server = DjinnServer::start().unwrap();
    let mut image = machine_images::testing::empty_qcow2(1 << 30);
    image.resize(8 << 20, 1);
    let id = server.add_image("web", &image).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let program = on(&server);
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -f 1000; exec \"$0\" \"$@\""]);
    limited.arg(program.get_program()).args(program.get_args());
    let envs = program.get_envs();
    limited.envs(envs.filter_map(|(name, value)| Some((name, value?))));
    limited.args(["djinn", "content", &id.to_string()]);
    limited.arg(directory.path().join("web.qcow2"));

    let ran = super::Ran::new(limited.output().unwrap());

    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.err.starts_with("error: save image"), "{ran:?}");
    assert!(ran.err.contains("File too large"), "{ran:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[cfg(unix)]
mod interrupted {
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use machine_images::testing::{DjinnServer, Fault};

    use crate::{Ran, on, run};

    const LONG: Duration = Duration::from_secs(600);

    fn spawn(server: &DjinnServer, args: &[&str]) -> Child {
        let mut program = on(server);
        program
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        program.spawn().unwrap()
    }

    #[track_caller]
    fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What Ctrl-C does.
    fn send_interrupt(child: &Child) {
        let id = child.id().to_string();
        let killed = Command::new("kill").args(["-INT", &id]).status().unwrap();
        assert!(killed.success());
    }

    fn interrupt(child: Child) -> Ran {
        send_interrupt(&child);
        Ran::new(child.wait_with_output().unwrap())
    }

    #[test]
    fn ctrl_c_ends_it_at_once() {
        let server = DjinnServer::start().unwrap();
        server.inject(Fault::DelayResponse { wait: LONG }.on("GET", "/images"));
        let child = spawn(&server, &["--json", "djinn", "list"]);
        wait_until("no request", || !server.requests().is_empty());

        let ran = interrupt(child);

        assert_eq!(ran.status, Some(130), "{ran:?}");
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    }

    #[test]
    fn ctrl_c_ends_it_while_nobody_reads_what_it_writes() {
        let server = DjinnServer::start().unwrap();
        let mut image = machine_images::testing::empty_qcow2(1 << 30);
        image.resize(8 << 20, 1);
        let id = server.add_image("web", &image).unwrap();
        let id = id.to_string();
        for args in [&["content", &id, "-"][..], &["read", &id]] {
            let mut child = spawn(&server, &[&["djinn"], args].concat());
            // The rest of the first bytes fills the pipe.
            let mut first = [0];
            let out = child.stdout.as_mut().unwrap();
            std::io::Read::read_exact(out, &mut first).unwrap();
            std::thread::sleep(Duration::from_millis(200));

            send_interrupt(&child);

            let mut status = None;
            wait_until("it goes on", || {
                status = child.try_wait().unwrap();
                status.is_some()
            });
            assert_eq!(status.unwrap().code(), Some(130), "{args:?}");
        }
    }

    #[test]
    fn ctrl_c_leaves_what_can_be_resumed() {
        const LENGTH: usize = 32 << 20;
        let server = DjinnServer::start().unwrap();
        let mut image = machine_images::testing::empty_qcow2(1 << 30);
        image.resize_with(LENGTH, || fastrand::u8(..));
        let id = server.add_image("web", &image).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("web.qcow2");
        let file = file.to_str().unwrap();
        let args = ["--json", "djinn", "content", &id.to_string(), file];
        let after = LENGTH as u64 * 3 / 4;
        let stall = Fault::StallResponse { after, wait: LONG };
        let contents = format!("/images/{id}");
        server.inject(stall.on("GET", contents.as_str()));
        let child = spawn(&server, &args);
        let size = || -> u64 {
            let entries = std::fs::read_dir(directory.path()).unwrap();
            let sizes = entries.filter_map(|entry| entry.ok()?.metadata().ok());
            sizes
                .map(|data| std::os::unix::fs::MetadataExt::blocks(&data) * 512)
                .sum()
        };
        wait_until("nothing is saved", || size() > LENGTH as u64 / 2);

        assert_eq!(interrupt(child).status, Some(130));

        assert!(!std::fs::exists(file).unwrap());
        server.clear_faults();
        let saved = &run(on(&server), &args.join(" ")).ok().json()[0];
        assert!(saved["resumed_from"].as_u64().unwrap() > 0, "{saved}");
        assert_eq!(saved["bytes"], LENGTH);
        assert!(std::fs::read(file).unwrap() == image);
    }
}
