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

pub(super) const CONNECTIONS: [usize; 3] = [1, 4, BY_ITSELF];

/// How often each fetch is killed, if it is said: `MACHINE_IMAGES_KILLS`.
pub(super) fn kills() -> Option<usize> {
    let kills = std::env::var("MACHINE_IMAGES_KILLS").ok();
    kills.map(|kills| kills.parse().unwrap())
}

/// Not a test: the process that is killed, told by its environment what to fetch.
#[tokio::test]
#[ignore = "run by a_killed_fetch_goes_on, which kills it"]
async fn child() {
    let var = |name| std::env::var(name).unwrap();
    let client = machine_images::djinn::Client::builder(var("KILL_URL")).token(var("KILL_TOKEN"));
    let images = client.build().unwrap().images();
    let target = var("KILL_TARGET");
    let connections = match var("KILL_CONNECTIONS").parse().unwrap() {
        BY_ITSELF => None,
        connections => Some(connections),
    };
    match var("KILL_WHAT").as_str() {
        #[cfg(feature = "disk")]
        "disk" => {
            let mut request = images.save_raw(1, target);
            if let Some(connections) = connections {
                request = request.connections(connections);
            }
            request.await.unwrap();
        }
        _ => {
            let mut request = images.save(1, target).unchecked();
            if let Some(connections) = connections {
                request = request.connections(connections);
            }
            request.await.unwrap();
        }
    }
}

/// A fetch that is killed again and again.
pub(super) struct Killed<'a> {
    pub(super) setup: &'a Setup,
    /// `file`, or `disk` for the guest's.
    pub(super) what: &'a str,
    pub(super) connections: usize,
    /// The length of what is fetched.
    pub(super) length: usize,
}

impl Killed<'_> {
    fn spawn(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "save::kill::child", "--ignored"])
            .env("KILL_URL", self.setup.server.url().as_str())
            .env("KILL_TOKEN", self.setup.server.token())
            .env("KILL_TARGET", self.setup.target())
            .env("KILL_CONNECTIONS", self.connections.to_string())
            .env("KILL_WHAT", self.what)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Kills it so often at most, and lets it end; looks at what each left. Returns the number of
    /// kills.
    pub(super) fn run(&self, kills: usize, left: impl Fn()) -> usize {
        let setup = self.setup;
        std::fs::write(setup.target(), "before").unwrap();
        // Slow enough for kills to hit their mark, and for the client to keep up: what is on the
        // line when it is killed is nobody's fault.
        let slow = Fault::Trickle {
            bytes: 64 * 1024,
            every: Duration::from_millis(self.connections as u64),
        };
        setup.server.inject(setup.on(slow).always());
        let mut killed = 0;
        while killed < kills {
            // So that the last kill comes near the end, on average.
            let mark = setup.sent() + fastrand::u64(0..=2 * (self.length / (kills + 1)) as u64);
            let mut child = self.spawn();
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
            left();
        }
        setup.server.clear_faults();
        if std::fs::metadata(setup.target()).unwrap().len() == 6 {
            assert!(self.spawn().wait().unwrap().success());
        }
        assert!(killed * 2 > kills, "{killed}");
        killed
    }

    /// The number of connections that it has at most.
    pub(super) fn most(&self) -> usize {
        match self.connections {
            BY_ITSELF => 8,
            connections => connections,
        }
    }
}

#[test]
fn a_killed_fetch_goes_on() {
    const LENGTH: usize = 256 * MIB;
    for connections in CONNECTIONS {
        let setup = Setup::of(super::image(LENGTH));
        let fetch = Killed {
            setup: &setup,
            what: "file",
            connections,
            length: LENGTH,
        };
        let killed = fetch.run(kills().unwrap_or(10), || {});
        setup.assert_saved();
        let more = setup.sent().saturating_sub(LENGTH as u64);
        println!("{connections} connections, {killed} kills: {more} bytes more than the image");
        // A MiB a kill and connection, and what the last connections share.
        let most = (killed + 4) * fetch.most() * MIB;
        assert!(more <= most as u64, "{more} after {killed} kills");
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
            connections == 1 || number % 8 == 0
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
            requests.div_ceil(8)
        };
        assert!(requests >= cuts && cuts > 1);
        // And what the last connections share.
        let shared = if connections == 1 { 0 } else { 4 };
        assert!(more <= ((cuts + shared) * MIB) as u64, "{more}");
        setup.assert_saved();
    }
}
