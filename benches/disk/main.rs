//! The guest's disk of an image, fetched and sent, against curl and qemu-img:
//! `cargo bench --bench disk`, and `-- --help` for what can be chosen.
//!
//! nginx and a sink run on loopback; this program starts itself once for every transfer.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
#![allow(clippy::print_stderr, clippy::print_stdout)]
#![allow(
    dead_code,
    reason = "the modules are shared with the benchmark transfer"
)]

mod client;
mod disks;
#[path = "../transfer/measure.rs"]
mod measure;
#[path = "../transfer/nginx.rs"]
mod nginx;
#[path = "../transfer/sink.rs"]
mod sink;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Parser, Subcommand};

use disks::{Disks, Kind};
use measure::{Pairs, cost};
use nginx::Nginx;

/// Compares the guest's disk, fetched and sent, with curl and qemu-img.
#[derive(Parser)]
struct Args {
    /// The size of the guest's data in MiB.
    #[arg(long, default_value_t = 2048)]
    size: u64,
    /// How often each pair is run.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Only the cases whose name has this in it.
    #[arg(long)]
    case: Option<String>,
    /// Where the disks go; should be a disk.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    directory: PathBuf,
    /// The qemu-img that reads over HTTP, which needs Debian's qemu-block-extra.
    #[arg(long, default_value = "qemu-img")]
    qemu_img: String,
    // What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    work: Option<Work>,
}

#[derive(Subcommand)]
enum Work {
    /// One transfer by the crate: what this program starts itself for.
    #[command(hide = true)]
    Client(client::Args),
}

struct Case {
    name: &'static str,
    kind: Kind,
    /// The wall clock as a ratio, and the peak of memory in MiB.
    goals: (f64, f64),
    against: Against,
}

enum Against {
    /// `curl -o` and `qemu-img convert -O raw`.
    Curl,
    /// `qemu-img convert` over HTTP.
    Http,
    /// `qemu-img convert -O qcow2` and `curl -T`.
    Upload,
}

const CASES: [Case; 6] = [
    Case {
        name: "save_raw of a plain image",
        kind: Kind::Plain,
        goals: (0.50, 64.0),
        against: Against::Curl,
    },
    Case {
        name: "save_raw of an image compressed with zlib",
        kind: Kind::Zlib,
        goals: (0.80, 64.0),
        against: Against::Curl,
    },
    Case {
        name: "save_raw of an image compressed with zstd",
        kind: Kind::Zstd,
        goals: (0.80, 64.0),
        against: Against::Curl,
    },
    Case {
        name: "save_raw of a plain image, to qemu-img over HTTP",
        kind: Kind::Plain,
        goals: (0.80, 64.0),
        against: Against::Http,
    },
    Case {
        name: "upload of a raw disk",
        kind: Kind::Plain,
        goals: (0.50, 64.0),
        against: Against::Upload,
    },
    Case {
        name: "upload of a raw disk, compressed with zlib",
        kind: Kind::Zlib,
        goals: (0.90, 64.0),
        against: Against::Upload,
    },
];

fn main() {
    let args = Args::parse();
    if let Some(Work::Client(work)) = args.work {
        return client::run(work);
    }
    let disks = Disks::new();
    let nginx = Nginx::start(disks.directory());
    let sink = sink::start("127.0.0.1");
    println!("| case | wall | goal | peak MiB | goal | wall s (theirs) | CPU s (theirs) |");
    println!("|---|---|---|---|---|---|---|");
    let wanted = |case: &&Case| {
        let part = args.case.as_deref();
        part.is_none_or(|part| case.name.contains(part))
    };
    for case in CASES.iter().filter(wanted) {
        run(case, &args, &disks, &nginx, &sink);
    }
}

fn run(case: &Case, args: &Args, disks: &Disks, nginx: &Nginx, sink: &str) {
    let (raw, image) = disks.make(case.kind, args.size);
    let target = args.directory.join("disk-bench.raw");
    let between = args.directory.join("disk-bench.qcow2");
    let remove = || {
        // Before the system gets to write them to the disk.
        let _ = (
            std::fs::remove_file(&target),
            std::fs::remove_file(&between),
        );
    };
    let url = format!("{}/images/{}", nginx.base(), case.kind.id());
    let ours = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        match case.against {
            Against::Curl | Against::Http => {
                let id = case.kind.id().to_string();
                command
                    .args(["client", &nginx.base(), "save-raw", &id])
                    .arg(&target);
            }
            Against::Upload => {
                command.args(["client", sink, "upload-raw"]).arg(&raw);
                command.args(case.kind.compression());
            }
        }
        command
    };
    let theirs = || {
        let (target, between, raw) = (target.display(), between.display(), raw.display());
        let script = match case.against {
            Against::Curl => {
                format!(
                    "curl -sSf -o {between} {url} && qemu-img convert -f qcow2 -O raw {between} {target}"
                )
            }
            Against::Http => format!(
                "{} convert -f qcow2 -O raw 'json:{{\"driver\":\"qcow2\",\"file\":{{\"driver\":\"http\",\"url\":\"{url}\"}}}}' {target}",
                args.qemu_img
            ),
            Against::Upload => {
                let options = case.kind.options();
                let headers = "-H Content-Type:application/x-qemu-disk";
                format!(
                    "qemu-img convert -f raw -O qcow2 {options} {raw} {between} && \
                     curl -sSf -X POST {headers} -T {between} '{sink}/images?name=bench' >/dev/null"
                )
            }
        };
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdout(Stdio::null());
        command
    };
    let mut pairs = Pairs::default();
    // The first pair warms up, and is looked at instead of counted.
    for pair in 0..=args.pairs {
        let mut both = [None; 2];
        for side in [pair % 2, (pair + 1) % 2] {
            remove();
            both[side] = Some(cost(&mut if side == 0 { ours() } else { theirs() }));
            if pair == 0 && target.exists() {
                same(&target, &raw);
            }
        }
        remove();
        if let ([Some(ours), Some(theirs)], 1..) = (both, pair) {
            eprintln!(
                "  {}: wall {:.2} {:.2}, CPU {:.2} {:.2}, peak {:.1} {:.1}",
                case.name, ours.wall, theirs.wall, ours.cpu, theirs.cpu, ours.peak, theirs.peak,
            );
            pairs.add(ours, theirs);
        }
    }
    let _ = image;
    println!(
        "| {} | {:.2} | {:.2} | {:.1} | {:.0} | {:.2} ({:.2}) | {:.2} ({:.2}) |",
        case.name,
        pairs.ratio(|cost| cost.wall),
        case.goals.0,
        pairs.ours(|cost| cost.peak),
        case.goals.1,
        pairs.ours(|cost| cost.wall),
        pairs.theirs(|cost| cost.wall),
        pairs.ours(|cost| cost.cpu),
        pairs.theirs(|cost| cost.cpu),
    );
}

fn same(a: &Path, b: &Path) {
    let status = Command::new("cmp").args([a, b]).status().unwrap();
    assert!(status.success(), "{} has other contents", a.display());
}
