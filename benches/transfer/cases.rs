//! The table: each case with its goals.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Args;
use crate::embedded::Embedded;
use crate::images::{DATA, Images, ZEROS};
use crate::measure::{Pairs, cost};
use crate::nginx::Nginx;
use crate::sink;

struct Case {
    name: &'static str,
    /// Wall and CPU as ratios to curl, and the peak of memory in MiB.
    goals: [f64; 3],
    work: Work,
}

#[derive(Clone, Copy)]
enum Work {
    Save {
        id: u64,
        /// As many as pay if it is not set.
        connections: Option<u64>,
        tls: bool,
    },
    Count,
    Upload,
    Copy {
        /// Against a file in between, instead of curl.
        saved: bool,
        /// Between two of the crate's own servers.
        embedded: bool,
    },
}

const CASES: [Case; 10] = [
    Case {
        name: "contents to a new file",
        goals: [0.45, 0.65, 24.0],
        work: Work::Save {
            id: DATA,
            connections: None,
            tls: false,
        },
    },
    Case {
        name: "contents to a new file, 1 connection",
        goals: [0.55, 0.55, 20.0],
        work: Work::Save {
            id: DATA,
            connections: Some(1),
            tls: false,
        },
    },
    Case {
        name: "contents to nothing",
        goals: [0.75, 0.75, 20.0],
        work: Work::Count,
    },
    Case {
        name: "70 % zeros to a new file",
        goals: [0.25, 0.25, 20.0],
        work: Work::Save {
            id: ZEROS,
            connections: Some(1),
            tls: false,
        },
    },
    Case {
        name: "upload from a file",
        goals: [0.50, 0.65, 20.0],
        work: Work::Upload,
    },
    Case {
        name: "copy to another server",
        goals: [1.05, 1.00, 32.0],
        work: Work::Copy {
            saved: false,
            embedded: false,
        },
    },
    Case {
        name: "copy to another server, against save and upload",
        goals: [0.70, 1.00, 32.0],
        work: Work::Copy {
            saved: true,
            embedded: false,
        },
    },
    Case {
        name: "copy between two embedded servers",
        goals: [1.05, 1.00, 32.0],
        work: Work::Copy {
            saved: false,
            embedded: true,
        },
    },
    Case {
        name: "copy between two embedded servers, against save and upload",
        goals: [0.70, 1.00, 32.0],
        work: Work::Copy {
            saved: true,
            embedded: true,
        },
    },
    Case {
        name: "over TLS to a new file",
        goals: [0.80, 0.80, 24.0],
        work: Work::Save {
            id: DATA,
            connections: Some(1),
            tls: true,
        },
    },
];

pub(crate) fn run(args: &Args) {
    let cases: Vec<_> = CASES.iter().filter(|case| args.wants(case.name)).collect();
    if cases.is_empty() {
        return;
    }
    let images = Images::new();
    let bench = Bench {
        args,
        nginx: Nginx::start(images.directory()),
        sink: sink::start("127.0.0.1"),
        images,
    };
    println!(
        "| case | wall | goal | CPU | goal | peak MiB | goal | wall s (curl) | CPU s (curl) |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for case in cases {
        bench.case(case);
    }
}

struct Bench<'a> {
    args: &'a Args,
    nginx: Nginx,
    sink: String,
    images: Images,
}

impl Bench<'_> {
    fn case(&self, case: &Case) {
        let (id, zeros) = match case.work {
            Work::Save { id: ZEROS, .. } => (ZEROS, 0.7),
            _ => (DATA, 0.0),
        };
        let image = self.images.image(id, self.args.size, zeros);
        let file = self.args.directory.join("transfer-bench");
        let _ = fs::remove_file(&file);
        let mut pairs = Pairs::default();
        let mut note = String::new();
        // The first pair warms up, and is looked at instead of counted.
        for pair in 0..=self.args.pairs {
            let mut both = [None; 2];
            // Taking turns at going first as well.
            for side in [pair % 2, (pair + 1) % 2] {
                // New ones: what they have already makes a transfer slower.
                let embedded = matches!(case.work, Work::Copy { embedded: true, .. });
                let embedded = embedded.then(|| Embedded::start(&image));
                let servers = match &embedded {
                    Some(embedded) => [embedded.from.clone(), embedded.to.clone()],
                    None => [self.base(false), self.sink.clone()],
                };
                let mut command = match side {
                    0 => self.ours(case.work, &servers, &image, &file),
                    _ => self.curl(case.work, &servers, &image, &file),
                };
                both[side] = Some(cost(&mut command));
                if let (0, 0, Some(embedded)) = (pair, side, &embedded) {
                    fetch(&embedded.to, &file);
                    same(&file, &image);
                } else if pair == 0 && side == 0 && file.exists() {
                    same(&file, &image);
                    let allocated = fs::metadata(&file).unwrap().blocks() * 512;
                    let share = 100 * allocated / (self.args.size << 20);
                    note = format!(", {share} % of the blocks allocated");
                }
                // Before the system gets to write it to the disk.
                let _ = fs::remove_file(&file);
            }
            if let ([Some(ours), Some(theirs)], 1..) = (both, pair) {
                eprintln!(
                    "  {}: wall {:.2} {:.2}, CPU {:.2} {:.2}, peak {:.1} {:.1}",
                    case.name, ours.wall, theirs.wall, ours.cpu, theirs.cpu, ours.peak, theirs.peak,
                );
                pairs.add(ours, theirs);
            }
        }
        let [wall, cpu, peak] = case.goals;
        println!(
            "| {}{note} | {:.2} | {wall:.2} | {:.2} | {cpu:.2} | {:.1} | {peak:.0} | {:.2} ({:.2}) | {:.2} ({:.2}) |",
            case.name,
            pairs.ratio(|cost| cost.wall),
            pairs.ratio(|cost| cost.cpu),
            pairs.ours(|cost| cost.peak),
            pairs.ours(|cost| cost.wall),
            pairs.theirs(|cost| cost.wall),
            pairs.ours(|cost| cost.cpu),
            pairs.theirs(|cost| cost.cpu),
        );
    }

    fn ours(&self, work: Work, servers: &[String; 2], image: &Path, file: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("client");
        if self.args.multi_thread {
            command.arg("--multi-thread");
        }
        match work {
            Work::Save {
                id,
                connections,
                tls,
            } => {
                if tls {
                    command.arg("--certificate").arg(self.nginx.certificate());
                }
                command.args([&self.base(tls), "save", &id.to_string()]);
                command.arg(file);
                command.args(connections.map(|connections| connections.to_string()));
            }
            Work::Count => {
                command.args([&self.base(false), "count", &DATA.to_string()]);
            }
            Work::Upload => {
                command.args([&self.sink, "upload"]).arg(image);
            }
            Work::Copy { .. } => {
                let [from, to] = servers;
                command.args([from, "copy", &DATA.to_string(), to]);
            }
        }
        command
    }

    fn curl(&self, work: Work, servers: &[String; 2], image: &Path, file: &Path) -> Command {
        let mut command = Command::new("curl");
        command.args(["-sSf", "-H", "Accept: application/x-qemu-disk"]);
        match work {
            Work::Copy { saved: true, .. } => return copy_saved(servers, file),
            Work::Copy { saved: false, .. } => {
                let from = format!("{}/images/{DATA}", servers[0]);
                let to = format!("{}/images?name=curl", servers[1]);
                let auth = "-sSf -H Authorization:Bearer\\ bench";
                let from = format!("curl {auth} -H Accept:application/x-qemu-disk {from}");
                let headers = "-X POST -H Content-Type:application/x-qemu-disk";
                let pipe = format!("{from} | curl {auth} {headers} -T - '{to}'");
                command = Command::new("sh");
                command.args(["-c", &pipe]).stdout(Stdio::null());
            }
            Work::Save { id, tls, .. } => {
                if tls {
                    command.arg("--cacert").arg(self.nginx.certificate());
                }
                command.arg("-o").arg(file);
                command.arg(format!("{}/images/{id}", self.base(tls)));
            }
            Work::Count => {
                command.args(["-o", "/dev/null"]);
                command.arg(format!("{}/images/{DATA}", self.base(false)));
            }
            Work::Upload => {
                command.args([
                    "-X",
                    "POST",
                    "-H",
                    "Content-Type: application/x-qemu-disk",
                    "-T",
                ]);
                command
                    .arg(image)
                    .arg(format!("{}/images?name=bench", self.sink));
                command.stdout(Stdio::null());
            }
        }
        command
    }

    fn base(&self, tls: bool) -> String {
        match tls {
            true => self.nginx.tls_base(),
            false => self.nginx.base(),
        }
    }
}

/// A copy by way of a file.
fn copy_saved([from, to]: &[String; 2], file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["client", from, "copy", &DATA.to_string(), to]);
    command.arg("--file").arg(file);
    command
}

/// Fetches the first image that was created.
fn fetch(base: &str, file: &Path) {
    let mut command = Command::new("curl");
    command.args(["-sSf", "-H", "Authorization: Bearer bench"]);
    command.args(["-H", "Accept: application/x-qemu-disk", "-o"]);
    command.arg(file).arg(format!("{base}/images/1"));
    assert!(command.status().unwrap().success(), "no image was created");
}

fn same(a: &Path, b: &Path) {
    let status = Command::new("cmp").args([a, b]).status().unwrap();
    assert!(status.success(), "{} has other contents", a.display());
}
