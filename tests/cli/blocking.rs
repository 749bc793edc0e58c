use machine_images::testing::DjinnServer;

use super::{DISK, example_on, run};

#[test]
fn it_uploads_reads_and_lists() {
    let server = DjinnServer::start().unwrap();
    server.add_image("alpine", "QFI").unwrap();
    let ran = run(example_on("blocking", &server), &format!("web {DISK}")).ok();
    let length = std::fs::metadata(DISK).unwrap().len();
    let expected =
        format!("created image 2\n{length} bytes that begin with QFI\\xfb\n1 alpine\n2 web\n");
    assert_eq!(ran.out, expected);
    assert!(ran.err.contains(&format!("{length} bytes")), "{}", ran.err);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_call_that_waits() {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use machine_images::testing::Fault;

    let server = DjinnServer::start().unwrap();
    let wait = Duration::from_secs(600);
    server.inject(Fault::DelayResponse { wait });
    let mut program = example_on("blocking", &server);
    program.args(["web", DISK]).stderr(Stdio::null());
    let mut child = program.spawn().unwrap();
    let began = Instant::now();
    while server.requests().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.unwrap().success());
    // Of the signal, as a program ends that handles none.
    assert_eq!(child.wait().unwrap().signal(), Some(2));
    assert!(began.elapsed() < Duration::from_secs(60));
}
