//! `kill -9`, and a long line that is cut again and again.
#![allow(
    clippy::print_stdout,
    reason = "how much was sent twice is worth knowing"
)]

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use machine_images::testing::{Close, Fault};

use super::{MIB, Setup};

/// Stands for as many connections as pay.
const BY_ITSELF: usize = 0;

/// How often each fetch is killed: `MACHINE_IMAGES_KILLS`, 10 unless it is set.
fn kills() -> usize {
    let kills = std::env::var("MACHINE_IMAGES_KILLS");
    kills.map_or(10, |kills| kills.parse().unwrap())
}

/// Not a test: the process that is killed, told by its environment what to fetch.
#[tokio::test]
#[ignore = "run by a_killed_fetch_goes_on"]
async fn child() {
    let var = |name| std::env::var(name).unwrap();
    let client = machine_images::djinn::Client::builder(var("KILL_URL")).token(var("KILL_TOKEN"));
    let images = client.build().unwrap().images();
    let request = images.save(1, var("KILL_TARGET")).unchecked();
    let request = match var("KILL_CONNECTIONS").parse().unwrap() {
        BY_ITSELF => request,
        connections => request.connections(connections),
    };
    request.await.unwrap();
}

fn spawn(setup: &Setup, connections: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "save::kill::child", "--ignored"])
        .env("KILL_URL", setup.server.url().as_str())
        .env("KILL_TOKEN", setup.server.token())
        .env("KILL_TARGET", setup.target())
        .env("KILL_CONNECTIONS", connections.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_fetch_goes_on() {
    const LENGTH: usize = 256 * MIB;
    let kills = kills();
    for connections in [1, 4, BY_ITSELF] {
        let setup = Setup::of(super::image(LENGTH));
        std::fs::write(setup.target(), "before").unwrap();
        // Slow enough for kills to hit their mark, and for the client to keep up: what is on the
        // line when it is killed is nobody's fault.
        let slow = Fault::Trickle {
            bytes: 64 * 1024,
            every: Duration::from_millis(connections as u64),
        };
        setup.server.inject(setup.on(slow).always());
        let mut killed = 0;
        while killed < kills {
            // So that the last kill comes near the end, on average.
            let mark = setup.sent() + fastrand::u64(0..=2 * (LENGTH / (kills + 1)) as u64);
            let mut child = spawn(&setup, connections);
            let began = Instant::now();
            let ended = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break Some(status);
                }
                assert!(began.elapsed() < Duration::from_secs(60));
                if setup.sent() >= mark {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
                std::thread::sleep(Duration::from_micros(500));
            };
            if let Some(status) = ended {
                assert!(status.success());
                break;
            }
            killed += 1;
            if std::fs::metadata(setup.target()).unwrap().len() != 6 {
                break;
            }
            assert_eq!(std::fs::read(setup.target()).unwrap(), b"before");
        }
        setup.server.clear_faults();
        if std::fs::metadata(setup.target()).unwrap().len() == 6 {
            assert!(spawn(&setup, connections).wait().unwrap().success());
        }
        setup.assert_saved();
        let more = setup.sent().saturating_sub(LENGTH as u64);
        println!("{connections} connections, {killed} kills: {more} bytes more than the image");
        assert!(killed * 2 > kills, "{killed}");
        // A MiB a kill and connection, and what the last connections share.
        let many = if connections == BY_ITSELF {
            8
        } else {
            connections
        };
        assert!(
            more <= ((killed + 4) * many * MIB) as u64,
            "{more} after {killed} kills"
        );
    }
}

#[tokio::test]
async fn a_line_that_is_cut_every_64_mib_costs_little() {
    // With several connections each has a part of the 64 MiB.
    for (connections, length, after) in [(1, 1024 * MIB, 64 * MIB), (4, 256 * MIB, 3 * MIB)] {
        // Mostly holes, on both sides.
        let mut image = vec![0; length];
        for number in 0..length / MIB {
            let mark = (number as u64 + 1).to_le_bytes();
            image[number * MIB + 9000..][..8].copy_from_slice(&mark);
        }
        image[..4].copy_from_slice(b"QFI\xfb");
        let setup = Setup::of(image);
        let cut = Fault::CutResponse {
            after: after as u64,
            close: Close::Clean,
        };
        let requests = AtomicUsize::new(0);
        let rule = setup.on(cut).when(move |_| {
            let number = requests.fetch_add(1, Ordering::Relaxed);
            connections == 1 || number % 16 == 0
        });
        setup.server.inject(rule.always());
        let request = setup.save(connections, setup.target());
        let saved = request.await.unwrap();
        // What is on the line when an answer is given up counts as sent, as well.
        let more = saved.fetched - length as u64;
        let requests = setup.server.requests().len();
        println!("{connections} connections, {requests} requests: {more} bytes more");
        let cuts = if connections == 1 {
            16
        } else {
            requests.div_ceil(16)
        };
        assert!(requests >= cuts && cuts > 1);
        // And what the last connections share.
        let shared = if connections == 1 { 0 } else { 4 };
        assert!(more <= ((cuts + shared) * MIB) as u64, "{more}");
        setup.assert_saved();
    }
}
