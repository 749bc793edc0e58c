//! A line between two network namespaces.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

pub(crate) const SERVER: &str = "10.77.1.1";

/// Runs a program in the namespace of one end.
pub(crate) fn enter(end: &str) -> [String; 4] {
    ["ip", "netns", "exec", &namespace(end)].map(str::to_owned)
}

/// Another benchmark may run at the same time.
fn namespace(end: &str) -> String {
    format!("line-{end}-{}", std::process::id())
}

fn device(end: &str) -> String {
    format!("l{}{}", &end[..1], std::process::id())
}

const EMULATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/line/emulator");

/// What a line is like.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    pub(crate) mbit: u32,
    /// The time of a round trip.
    pub(crate) round_trip_ms: u32,
    pub(crate) loss_percent: f64,
    /// The congestion control of both ends.
    pub(crate) control: &'static str,
}

/// A line that is up until it is dropped.
pub(crate) struct Line(Child);

/// What is missing for lines on this machine, if anything.
pub(crate) fn missing() -> Option<&'static str> {
    let root = Command::new("id").arg("-u").output();
    if root.is_ok_and(|output| output.stdout != b"0\n") {
        return Some("root");
    }
    for tool in ["ip", "nginx", "curl", "aria2c", "openssl"] {
        let found = Command::new("sh")
            .arg("-c")
            .arg(format!("PATH=$PATH:/usr/sbin command -v {tool}"))
            .stdout(Stdio::null())
            .status();
        if !found.is_ok_and(|status| status.success()) {
            return Some(tool);
        }
    }
    let device = std::path::Path::new("/dev/net/tun").exists();
    (!device).then_some("/dev/net/tun")
}

impl Line {
    pub(crate) fn start(settings: Settings) -> Self {
        let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/line-emulator");
        let built = Command::new("cargo")
            .args(["build", "--quiet", "--release", "--target-dir", target])
            .current_dir(EMULATOR)
            .status();
        assert!(built.unwrap().success(), "the emulator cannot be built");
        for end in ["server", "client"] {
            ip(&format!("netns add {}", namespace(end)));
        }
        // As long as a queue of 100 ms, which is usual.
        let queue = u64::from(settings.mbit) * 125_000 / 10;
        let mut process = Command::new(format!("{target}/release/line"))
            .args([device("server"), device("client")])
            .arg(settings.mbit.to_string())
            .arg((settings.round_trip_ms * 500).to_string())
            .arg(settings.loss_percent.to_string())
            .arg(queue.to_string())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let errors = process.stderr.take().unwrap();
        BufReader::new(errors).read_line(&mut ready).unwrap();
        let line = Self(process);
        assert_eq!(ready.trim(), "ready");
        for (end, address) in [("server", SERVER), ("client", "10.77.1.2")] {
            let (namespace, device) = (namespace(end), device(end));
            ip(&format!("link set {device} netns {namespace}"));
            let inside = format!("-n {namespace}");
            ip(&format!("{inside} addr add {address}/24 dev {device}"));
            ip(&format!("{inside} link set lo up"));
            ip(&format!("{inside} link set {device} txqueuelen 10000 up"));
            ip(&format!(
                "{inside} route change 10.77.1.0/24 dev {device} src {address} congctl {}",
                settings.control
            ));
        }
        line
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        for end in ["server", "client"] {
            ip(&format!("netns del {}", namespace(end)));
        }
    }
}

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status();
    assert!(status.unwrap().success(), "ip {words}");
}
