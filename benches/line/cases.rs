//! The table: each case with its goal, as a ratio to the better of curl and aria2.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Args;
use crate::images::{Images, SMALL};
use crate::line::{Line, SERVER, Settings, enter};
use crate::measure::{cost, median};
use crate::nginx::Nginx;

struct Case {
    mib: u64,
    is_tls: bool,
    line: Settings,
    goal: f64,
}

pub(crate) const CLEAN: Settings = Settings {
    mbit: 500,
    round_trip_ms: 50,
    loss_percent: 0.0,
    control: "cubic",
};
const LOSSY: Settings = Settings {
    loss_percent: 0.1,
    ..CLEAN
};
const FAST: Settings = Settings {
    mbit: 1000,
    control: "bbr",
    ..LOSSY
};

/// So near that connections are added only as the rate is seen not to grow.
const NEAR: Settings = Settings {
    round_trip_ms: 4,
    ..LOSSY
};

const CASES: [Case; 10] = [
    case(1, false, CLEAN, 1.02),
    case(1, true, CLEAN, 1.02),
    case(16, false, CLEAN, 0.95),
    case(16, true, CLEAN, 0.95),
    case(64, false, CLEAN, 0.85),
    case(64, true, CLEAN, 0.85),
    case(16, false, LOSSY, 0.90),
    case(64, false, LOSSY, 0.90),
    case(256, false, FAST, 0.95),
    case(64, false, NEAR, 1.10),
];

const fn case(mib: u64, is_tls: bool, line: Settings, goal: f64) -> Case {
    Case {
        mib,
        is_tls,
        line,
        goal,
    }
}

impl Case {
    fn name(&self) -> String {
        let Settings {
            mbit,
            round_trip_ms,
            loss_percent,
            control,
        } = self.line;
        let scheme = if self.is_tls { "https" } else { "http" };
        format!(
            "{} MiB, {scheme}, {mbit} Mbit/s, {round_trip_ms} ms, {loss_percent} % loss, {control}",
            self.mib
        )
    }
}

pub(crate) fn run(args: &Args) {
    println!("| case | ratio | goal | ours, s | curl, s | aria2c -x8, s |");
    println!("|---|---|---|---|---|---|");
    for case in CASES.iter().filter(|case| args.wants(&case.name())) {
        measure(args, case);
    }
}

fn measure(args: &Args, case: &Case) {
    let images = Images::new();
    let image = images.image(SMALL, case.mib, 0.0);
    let _line = Line::start(case.line);
    let nginx = Nginx::start_at(SERVER, &enter("server"), images.directory());
    let file = images.directory().join("fetched");
    let mut times: [Vec<f64>; 3] = Default::default();
    for round in 0..args.rounds {
        // Taking turns at going first as well.
        for turn in 0..3 {
            let way = (round + turn) % 3;
            let mut command = match way {
                0 => ours(&nginx, case, args.connections, &file),
                1 => curl(&nginx, case, &file),
                _ => aria2(&nginx, case, &file),
            };
            times[way].push(cost(&mut command).wall);
            assert!(fs::read(&file).unwrap() == fs::read(&image).unwrap());
            fs::remove_file(&file).unwrap();
        }
        let last = |way: usize| times[way][round];
        eprintln!(
            "  {}: {:.3} {:.3} {:.3}",
            case.name(),
            last(0),
            last(1),
            last(2)
        );
    }
    let ratios = (0..args.rounds).map(|n| times[0][n] / times[1][n].min(times[2][n]));
    let ratio = median(ratios);
    let [ours, curl, aria2] = times.map(median);
    // Of medians as well, as single runs with loss vary a lot.
    println!(
        "| {} | {ratio:.2}, of medians {:.2} | {:.2} | {ours:.3} | {curl:.3} | {aria2:.3} |",
        case.name(),
        ours / curl.min(aria2),
        case.goal
    );
}

pub(crate) fn inside(program: &Path) -> Command {
    let [ip, words @ ..] = enter("client");
    let mut command = Command::new(ip);
    command.args(words).arg(program);
    command.stdout(Stdio::null());
    command
}

fn base(nginx: &Nginx, case: &Case) -> String {
    match case.is_tls {
        true => nginx.tls_base(),
        false => nginx.base(),
    }
}

fn ours(nginx: &Nginx, case: &Case, connections: Option<usize>, file: &Path) -> Command {
    let mut command = inside(&std::env::current_exe().unwrap());
    command.arg("client");
    if case.is_tls {
        command.arg("--certificate").arg(nginx.certificate());
    }
    command.args([&base(nginx, case), "save", &SMALL.to_string()]);
    command.arg(file);
    command.args(connections.map(|connections| connections.to_string()));
    command
}

fn curl(nginx: &Nginx, case: &Case, file: &Path) -> Command {
    let mut command = inside(Path::new("curl"));
    command.args(["-sSf", "-H", "Accept: application/x-qemu-disk"]);
    command.arg("--cacert").arg(nginx.certificate());
    command.arg("-o").arg(file);
    command.arg(format!("{}/images/{SMALL}", base(nginx, case)));
    command
}

fn aria2(nginx: &Nginx, case: &Case, file: &Path) -> Command {
    let mut command = inside(Path::new("aria2c"));
    command.args(["-q", "-x8", "-s8", "-k1M", "--no-conf"]);
    command.args(["--file-allocation=none", "--allow-overwrite=true"]);
    command.arg("--header=Accept: application/x-qemu-disk");
    command.arg(format!(
        "--ca-certificate={}",
        nginx.certificate().display()
    ));
    command.arg("-d").arg(file.parent().unwrap());
    command.arg("-o").arg(file.file_name().unwrap());
    command.arg(format!("{}/images/{SMALL}", base(nginx, case)));
    command
}
