//! Loopback whose congestion control is cubic: bbr, where that is the default, paces it.

use std::os::unix::process::CommandExt;
use std::process::Command;

const INSIDE: &str = "TRANSFER_BENCH_NAMESPACE";

/// Starts this program again in a network namespace, if there is a need for one.
pub(crate) fn enter() {
    let default = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control");
    if std::env::var_os(INSIDE).is_some() {
        // Set on the route, as a namespace may not choose every default.
        let route = "route replace local 127.0.0.1 dev lo table local proto kernel scope host \
                     src 127.0.0.1 congctl cubic";
        for command in ["link set lo up", route] {
            let status = Command::new("ip").args(command.split_whitespace()).status();
            assert!(status.unwrap().success(), "ip {command}");
        }
    } else if default.is_ok_and(|name| name.trim() != "cubic") {
        let error = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(std::env::args_os().skip(1))
            .env(INSIDE, "1")
            .exec();
        panic!("cannot start unshare: {error}");
    }
}
