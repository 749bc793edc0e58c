//! Every number that a server sends, at its bounds, in every operation: an error of some kind or a
//! right success, soon, and without much memory.

mod calls;
mod lies;
mod mutated;
mod operations;
mod server;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt;
use machine_images::testing::empty_qcow2;
use machine_images::{devops, djinn};

use crate::support::quick;
use calls::{Calls, OPERATIONS};
use server::State;

/// The bounds of one cell.
const TIME: Duration = Duration::from_secs(5);
const MEMORY: u64 = 100 << 20;

/// What came of one operation's cells.
#[derive(Default)]
struct Line {
    outcomes: BTreeMap<String, u32>,
    wrong: Vec<String>,
    slowest: Duration,
    most: u64,
}

/// Each operation is tried in a process of its own, whose memory nothing else moves.
#[test]
fn a_hostile_servers_numbers_end_in_errors_or_a_right_success() {
    let operations = Mutex::new(OPERATIONS.iter());
    let failed = Mutex::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(operation) = operations.lock().unwrap().next() else {
                        return;
                    };
                    // So that what takes too much of it does not take the machine's.
                    let limited = "ulimit -v 8000000; exec \"$0\" \"$@\"";
                    let child = Command::new("sh")
                        .args(["-c", limited])
                        .arg(std::env::current_exe().unwrap())
                        .args(["--exact", "hostile::child", "--ignored", "--nocapture"])
                        .env("HOSTILE_OPERATION", operation)
                        .env("RUST_BACKTRACE", "0")
                        .stdout(Stdio::null())
                        .stderr(Stdio::piped())
                        .spawn()
                        .unwrap();
                    let output = child.wait_with_output().unwrap();
                    eprint!("{}", String::from_utf8_lossy(&output.stderr));
                    if !output.status.success() {
                        eprintln!("{operation:18} FAILED: {}", output.status);
                        *failed.lock().unwrap() = true;
                    }
                }
            });
        }
    });
    assert!(!*failed.lock().unwrap());
}

/// Not a test: all cells of the operation that the environment names.
#[test]
#[ignore = "run by a_hostile_servers_numbers_end_in_errors_or_a_right_success"]
fn child() {
    let wanted = std::env::var("HOSTILE_OPERATION").unwrap();
    let operation = OPERATIONS.iter().find(|known| **known == wanted).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let line = runtime.block_on(cells(operation));
    let outcomes: Vec<_> = line
        .outcomes
        .iter()
        .map(|(kind, n)| format!("{kind} {n}"))
        .collect();
    eprintln!(
        "{operation:18} {:4} cells, {:5} ms, {:3} MiB: {}",
        line.outcomes.values().sum::<u32>(),
        line.slowest.as_millis(),
        line.most >> 20,
        outcomes.join(", ")
    );
    assert!(line.wrong.is_empty(), "{:#?}", line.wrong);
}

async fn cells(operation: &'static str) -> Line {
    // Two of several connections have something to do from 8 MiB on.
    let length = if operation.starts_with("save") {
        9 << 20
    } else {
        1 << 20
    };
    let mut disk = empty_qcow2(1 << 30);
    disk.resize(length, 7);
    let disk = Arc::new(disk);
    let state = Arc::new(Mutex::new(State {
        lie: None,
        disk: disk.clone(),
        answers: 0,
        loses_answer: operation == "upload reconcile",
        created: false,
    }));
    let server = server::start(state.clone()).await;
    // A file in memory may be as long as anyone says.
    let shared = std::path::Path::new("/dev/shm");
    let folder = match shared.exists() && operation != "save 4 inspected" {
        true => tempfile::tempdir_in(shared).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let patience = Duration::from_millis(500);
    let calls = Calls {
        djinn: djinn::Client::builder(server.url(""))
            .retry(quick().retries(1))
            .response_timeout(patience)
            .stall_timeout(patience)
            .build()
            .unwrap(),
        devops: devops::Client::builder(server.url(""))
            .retry(quick().retries(1))
            .response_timeout(patience)
            .stall_timeout(patience)
            .build()
            .unwrap(),
        disk,
        folder: folder.path().to_owned(),
    };
    let mut line = Line::default();
    for lie in lies::lies(operation) {
        {
            let mut state = state.lock().unwrap();
            state.lie = Some(lie.clone());
            (state.answers, state.created) = (0, false);
        }
        let before = forget_peak();
        let began = Instant::now();
        let call = calls.clone().call(operation, lie.clone());
        // Only what panics in a task does not end the others.
        let call = tokio::spawn(tokio::time::timeout(2 * TIME, call)).map(|end| match end {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err("ENDLESS".to_owned()),
            Err(_) => Err("PANIC".to_owned()),
        });
        let outcome = call.await;
        let (elapsed, grown) = (began.elapsed(), peak().saturating_sub(before));
        line.slowest = line.slowest.max(elapsed);
        line.most = line.most.max(grown);
        let outcome = match outcome {
            Ok(()) => "ok".to_owned(),
            Err(kind) => kind,
        };
        let is_wrong = outcome.starts_with(|c: char| c.is_ascii_uppercase());
        if is_wrong || elapsed > TIME || grown > MEMORY {
            let value: String = lie.value.chars().take(60).collect();
            line.wrong.push(format!(
                "{} = {value:?}, later: {}: {outcome}, {elapsed:?}, {} MiB",
                lie.field,
                lie.later,
                grown >> 20
            ));
        }
        *line.outcomes.entry(outcome).or_default() += 1;
    }
    line
}

/// Lets the peak of this process's memory begin anew, and says how much it uses now.
fn forget_peak() -> u64 {
    // Where it is not allowed, the peak is that of all cells so far, which is no less.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    status("VmRSS:")
}

fn peak() -> u64 {
    status("VmHWM:")
}

/// A line of the kernel's about this process, in bytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let digits = line.unwrap().trim().trim_end_matches(" kB");
    digits.parse::<u64>().unwrap() << 10
}
