use std::process::Command;

use machine_images::testing::DjinnServer;
use serde_json::{Value, json};

use super::{DISK, on, run};

fn site() -> DjinnServer {
    let server = DjinnServer::start().unwrap();
    server
        .add_image("web", std::fs::read(DISK).unwrap())
        .unwrap();
    server
}

/// Bytes of the disk that the image was made with.
fn written(line: &Value) -> bool {
    line["kind"] == "data"
}

#[test]
fn the_map_has_a_line_for_each_part_of_one_kind() {
    let server = site();
    let ran = run(on(&server), "--json djinn map 1").ok();
    let lines = ran.json();
    // By `qemu-img map`.
    let expected = [
        (0, 40960, "data"),
        (40960, 1007616, "hole"),
        (1048576, 69632, "data"),
        (1118208, 4124672, "hole"),
        (5242880, 61440, "data"),
        (5304320, 3076096, "hole"),
        (8380416, 8192, "data"),
    ];
    let expected = expected
        .map(|(start, length, kind)| json!({ "start": start, "length": length, "kind": kind }));
    assert_eq!(lines, expected);
    assert_eq!(lines.iter().filter(|line| written(line)).count(), 4);
    let people = run(on(&server), "djinn map 1").ok();
    let mut rows = people.out.lines().map(str::split_whitespace);
    assert!(rows.next().unwrap().eq(["start", "length", "kind"]));
    assert!(rows.next().unwrap().eq(["0", "40960", "data"]));
    assert_eq!(rows.count(), 6);
}

#[test]
fn the_raw_disk_is_read_in_place_and_saved() {
    let (server, folder) = (site(), tempfile::tempdir().unwrap());
    let (all, saved) = (folder.path().join("all"), folder.path().join("saved"));
    let output = on(&server).args(["djinn", "read", "1"]).output().unwrap();
    std::fs::write(&all, &output.stdout).unwrap();
    let args = format!("--json djinn content 1 {} --raw", saved.display());
    let line = &run(on(&server), &args).ok().json()[0];
    assert_eq!(line["saved"], saved.to_str().unwrap());
    assert_eq!(line["bytes"], 8388608);
    assert!(std::fs::read(&saved).unwrap() == output.stdout);
    let part = [
        "djinn", "read", "1", "--offset", "1048000", "--length", "1000",
    ];
    let part = on(&server).args(part).output().unwrap();
    assert!(part.stdout == output.stdout[1048000..1049000]);
    // Nothing behind what was asked for is fetched.
    server.clear_requests();
    let sector = [
        "djinn", "read", "1", "--offset", "5242880", "--length", "512",
    ];
    let sector = on(&server).args(sector).output().unwrap();
    assert!(sector.stdout == output.stdout[5242880..5243392]);
    let requests = server.requests();
    let range = requests.last().unwrap().header("range").unwrap();
    let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap();
    let length = end.parse::<u64>().unwrap() + 1 - start.parse::<u64>().unwrap();
    assert_eq!(length, 4096, "{range}");
    let streamed = ["djinn", "content", "1", "-", "--raw"];
    let streamed = on(&server).args(streamed).output().unwrap();
    assert!(streamed.stdout == output.stdout);
    let mut compare = Command::new("qemu-img");
    compare
        .args(["compare", "-f", "raw", "-F", "qcow2"])
        .arg(&all);
    match compare.arg(DISK).output() {
        Ok(compared) => assert!(compared.status.success(), "{compared:?}"),
        Err(_) => assert!(std::env::var_os("MACHINE_IMAGES_REQUIRE_TOOLS").is_none()),
    }
}

#[test]
fn a_read_beyond_the_end_is_short_and_a_missing_image_fails() {
    let server = site();
    let past = run(on(&server), "djinn read 1 --offset 8388600 --length 100").ok();
    assert_eq!(past.out.len(), 8);
    let past = run(on(&server), "djinn read 1 --offset 9000000").ok();
    assert_eq!(past.out, "");
    for command in ["read 9", "map 9", "content 9 /nowhere/disk --raw"] {
        let failed = run(on(&server), &format!("--json djinn {command}"));
        let kind = &failed.failure()["error"];
        assert!(
            ["not_found_or_unauthorized", "io"].contains(&kind.as_str().unwrap()),
            "{failed:?}"
        );
    }
    let wrong = run(on(&server), "djinn content 1 disk --raw --refresh");
    assert_eq!(wrong.status, Some(2));
}
