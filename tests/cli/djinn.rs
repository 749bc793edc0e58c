use std::io::{Read, Write};

use machine_images::djinn::Visibility;
use machine_images::testing::{Close, DjinnServer, Fault, empty_qcow2};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{DISK, on, program, run};

fn posts(server: &DjinnServer) -> usize {
    let requests = server.requests();
    let posts = requests.iter().filter(|request| request.method == "POST");
    posts.count()
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn find_shows_the_image_of_that_name() {
    let server = DjinnServer::start().unwrap();
    server.add_image("web-1", "").unwrap();
    let id = server.add_image("web", "").unwrap();
    let lab = server.new_image("web").namespace("lab").add().unwrap();

    for (args, id) in [
        ("--json djinn find web", id),
        ("--json djinn find web --namespace lab", lab),
        ("--json djinn find web --namespace lab@tester", lab),
    ] {
        let [image] = &run(on(&server), args).ok().json()[..] else {
            panic!("{args}: not one line");
        };
        assert_eq!(image["id"], id.get(), "{args}");
        assert_eq!(image["user"]["username"], "tester", "{args}");
    }
    let people = run(on(&server), "djinn find web").ok();
    let words: Vec<_> = people.out.split_whitespace().take(4).collect();
    assert_eq!(words, ["id", &id.to_string(), "name", "web"]);
}

#[test]
fn find_fails_if_there_is_no_such_image() {
    let server = DjinnServer::start().unwrap();
    server.add_image("a-b", "").unwrap();

    let ran = run(on(&server), "--json djinn find a_b");
    assert_eq!(
        ran.failure(),
        json!({
            "error": "not_found",
            "message": "find image \"a_b\": there is none of that name",
            "status": null,
            "retryable": false,
            "fields": null,
        })
    );
    assert_eq!(ran.out, "");

    let ran = run(on(&server), "djinn find a-b --namespace lab");
    assert_eq!(ran.status, Some(1));
    let expected = "error: find image \"a-b\": there is none of that name in namespace lab\n";
    assert_eq!(ran.err, expected);
}

#[test]
fn list_shows_one_namespace() {
    let server = DjinnServer::builder().user("eli", "t0k3n").start().unwrap();
    server.add_namespace("lab@eli", Visibility::Public).unwrap();
    server.add_image("mine", "").unwrap();
    for name in ["web", "kernel"] {
        let image = server.new_image(name).author("eli").namespace("lab");
        image.add().unwrap();
    }

    let ran = run(on(&server), "--json djinn list --namespace eli/lab").ok();
    let names: Vec<_> = ran
        .json()
        .iter()
        .map(|image| image["name"].clone())
        .collect();
    assert_eq!(names, ["kernel", "web"]);

    let narrowed = "djinn list --namespace lab@eli --search we --json";
    assert_eq!(run(on(&server), narrowed).ok().json().len(), 1);

    let people = run(on(&server), "djinn list --namespace eli/lab").ok();
    let heads: Vec<_> = people.out.split_whitespace().take(3).collect();
    // Whether they are ready is not in this list.
    assert_eq!(heads, ["ID", "NAME", "CREATED"]);
    assert!(!people.out.contains("ready"), "{people:?}");

    let ran = run(on(&server), "--json djinn list --namespace eli/nowhere");
    assert_eq!(ran.failure()["error"], "not_found_or_unauthorized");
}

#[test]
fn an_upload_whose_answer_is_lost_is_found_if_that_is_wanted() {
    let disk = std::fs::read(DISK).unwrap();
    let digest = sha256(&disk);
    let reconcile = "--reconcile".to_owned();
    let with_digest = format!("--reconcile --sha256 {digest}");
    for options in [reconcile, with_digest] {
        let server = DjinnServer::start().unwrap();
        let close = Close::Clean;
        server.inject(Fault::DropResponse { close }.on("POST", "/images"));

        let args = format!("--json djinn upload web {DISK} --namespace lab {options}");
        let ran = run(on(&server), &args).ok();

        let [image] = &ran.json()[..] else {
            panic!("not one line: {ran:?}");
        };
        assert_eq!(
            server.content(image["id"].as_i64().unwrap()),
            Some(disk.clone())
        );
        assert_eq!(image["namespace"]["path"], "lab");
        assert_eq!((posts(&server), server.image_count()), (1, 1));
    }

    let server = DjinnServer::start().unwrap();
    let close = Close::Clean;
    server.inject(Fault::DropResponse { close }.on("POST", "/images"));
    let ran = run(on(&server), &format!("--json djinn upload web {DISK}"));
    assert_eq!(ran.failure()["error"], "outcome_unknown");
}

#[test]
fn an_upload_with_reconcile_sends_nothing_for_a_name_that_is_taken() {
    let server = DjinnServer::start().unwrap();
    server.add_image("web", "").unwrap();

    let args = format!("--json djinn upload web {DISK} --reconcile");
    let failure = run(on(&server), &args).failure();

    assert_eq!(failure["error"], "name_taken");
    assert_eq!(posts(&server), 0);
}

#[test]
fn standard_input_is_uploaded() {
    let server = DjinnServer::start().unwrap();
    let mut program = on(&server);
    program.stdin(std::fs::File::open(DISK).unwrap());

    let ran = run(program, "--json djinn upload web - --reconcile").ok();

    let id = ran.json()[0]["id"].as_i64().unwrap();
    assert_eq!(server.content(id), Some(std::fs::read(DISK).unwrap()));
}

#[cfg(feature = "disk")]
#[test]
fn a_raw_disk_is_uploaded_as_an_image() {
    use machine_images::qcow2::{Compression, Inspection, Policy, inspect};

    let server = DjinnServer::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk.img");
    let text: Vec<u8> = (0..1 << 20).map(|at: u32| (at / 777) as u8).collect();
    std::fs::write(&disk, text).unwrap();
    let disk = disk.to_str().unwrap();
    let mut lengths = Vec::new();
    for (options, compression) in [
        ("", Compression::Zlib),
        ("--compress zlib", Compression::Zlib),
        ("--compress zstd", Compression::Zstd),
    ] {
        let name = format!("disk-{}", lengths.len());
        let args = format!("--json djinn upload {name} {disk} --raw {options}");
        let ran = run(on(&server), args.trim()).ok();
        let id = ran.json()[0]["id"].as_i64().unwrap();
        let content = server.content(id).unwrap();
        let length = content.len() as u64;
        let Inspection::Done(report) = inspect(&content, Some(length), &Policy::default()) else {
            panic!("more is needed than all");
        };
        let header = report.header.unwrap();
        assert_eq!((header.virtual_size, header.version), (1 << 20, 3));
        assert_eq!(header.compression, compression, "{options}");
        lengths.push(length);
    }
    assert!(lengths[0] > 1 << 20, "{lengths:?}");
    assert!(
        lengths[1..].iter().all(|&length| length < 1 << 19),
        "{lengths:?}"
    );
}

#[test]
fn digest_shows_the_sha256_of_the_contents() {
    let server = DjinnServer::start().unwrap();
    let disk = std::fs::read(DISK).unwrap();
    let id = server.add_image("web", &disk).unwrap();

    let ran = run(on(&server), &format!("--json djinn digest {id}")).ok();
    let expected = json!({ "id": id, "bytes": disk.len(), "sha256": sha256(&disk) });
    assert_eq!(ran.json(), [expected]);

    let people = run(on(&server), &format!("djinn digest {id}")).ok();
    assert!(people.out.contains(&sha256(&disk)), "{people:?}");
}

#[test]
fn content_is_saved_refreshed_and_described() {
    let server = DjinnServer::start().unwrap();
    let disk = std::fs::read(DISK).unwrap();
    let id = server.add_image("web", &disk).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("web.qcow2");
    let file = file.to_str().unwrap();
    let saved = |unchanged: bool, connections: &Value| {
        json!({
            "saved": file,
            "bytes": disk.len(),
            "fetched": if unchanged { 0 } else { disk.len() },
            "resumed_from": 0,
            "unchanged": unchanged,
            "connections": connections,
            "sha256": sha256(&disk),
        })
    };
    let args = format!(
        "--json djinn content {id} {file} --sha256 {}",
        sha256(&disk)
    );

    let [first] = &run(on(&server), &args).ok().json()[..] else {
        panic!("not one line");
    };
    assert_eq!(*first, saved(false, &first["connections"]));
    assert!(first["connections"].as_u64().unwrap() >= 1, "{first}");
    assert!(std::fs::read(file).unwrap() == disk);

    let [again] = &run(on(&server), &format!("{args} --refresh")).ok().json()[..] else {
        panic!("not one line");
    };
    assert_eq!(*again, saved(true, &again["connections"]));
}

#[test]
fn standard_output_fails_for_another_digest() {
    let server = DjinnServer::start().unwrap();
    let disk = std::fs::read(DISK).unwrap();
    let id = server.add_image("web", &disk).unwrap();
    let to_output = |digest: &str| {
        let mut program = on(&server);
        program.args(["--json", "djinn", "content", &id.to_string(), "-"]);
        program.args(["--sha256", digest]).output().unwrap()
    };

    let good = to_output(&sha256(&disk));
    assert_eq!(good.status.code(), Some(0));
    assert!(good.stdout == disk);

    let bad = to_output(&"0".repeat(64));
    assert_eq!(bad.status.code(), Some(1));
    let failure: Value = serde_json::from_slice(&bad.stderr).unwrap();
    assert_eq!(failure["error"], "digest_mismatch");
    assert!(bad.stdout.len() < disk.len());
}

#[test]
fn a_failure_is_one_json_object_with_what_a_program_can_act_on() {
    let server = DjinnServer::start().unwrap();
    server.add_image("web", "").unwrap();

    let rejected = run(on(&server), &format!("--json djinn upload web {DISK}")).failure();
    let keys = |value: &Value| -> Vec<String> {
        let object = value.as_object().unwrap();
        let mut keys: Vec<_> = object.keys().cloned().collect();
        keys.sort();
        keys
    };
    let expected = ["error", "fields", "message", "retryable", "status"];
    assert_eq!(keys(&rejected), expected);
    assert_eq!(rejected["error"], "name_taken");
    assert_eq!(rejected["status"], 400);
    assert_eq!(rejected["retryable"], false);
    assert_eq!(
        rejected["fields"],
        json!({ "name": ["Name already exists"] })
    );

    server.inject(Fault::status(503).always());
    let mut program = on(&server);
    program.args(["--json", "djinn", "upload", "other", DISK]);
    let away = super::Ran::new(program.output().unwrap()).failure();
    assert_eq!(away["error"], "server");
    assert_eq!(away["status"], 503);
    assert_eq!(away["retryable"], true);
    assert_eq!(away["fields"], Value::Null);

    let nowhere = "--json djinn --server ftp://example.org list";
    let invalid = run(on(&server), nowhere).failure();
    assert_eq!(invalid["error"], "invalid_input");
    assert_eq!(invalid["status"], Value::Null);
}

#[test]
fn what_a_server_says_is_no_line_and_no_command_to_a_terminal() {
    let server = DjinnServer::start().unwrap();
    let name = "web\u{1b}[31m\nid  7\u{202e}";
    let id = server.add_image(name, empty_qcow2(1 << 30)).unwrap();
    let shown = "web\u{fffd}[31m\u{fffd}id  7\u{fffd}";

    let listed = run(on(&server), "djinn list").ok();
    let got = run(on(&server), &format!("djinn get {id}")).ok();

    assert_eq!(listed.out.lines().count(), 2, "{listed:?}");
    assert!(
        listed.out.contains(shown) && got.out.contains(shown),
        "{got:?}"
    );
    let listed = run(on(&server), "--json djinn list").ok();
    assert_eq!(listed.json()[0]["name"], name);
}

#[test]
fn the_login_of_a_proxy_of_the_environment_is_not_shown() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://user:pr0xys3cr3t@{}", proxy.local_addr().unwrap());
    // It says what it got.
    std::thread::spawn(move || {
        let (mut stream, _) = proxy.accept().unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\x1b[2J";
        stream
            .write_all(&[head.as_bytes(), &request[..length]].concat())
            .unwrap();
    });
    let mut program = program();
    for variable in ["HTTP_PROXY", "NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        program.env_remove(variable);
    }
    program.env("http_proxy", url);

    let ran = run(
        program,
        "djinn --server http://host.example --token t0k3n-of-some-user list",
    );

    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(
        ran.err
            .to_lowercase()
            .contains("proxy-authorization: basic [redacted]"),
        "{ran:?}"
    );
    assert!(ran.err.contains("\u{fffd}[2J"), "{ran:?}");
    assert!(!ran.err.contains("t0k3n-of-some-user"), "{ran:?}");
}

#[test]
fn a_failure_is_one_line_for_people_with_its_causes() {
    let server = DjinnServer::start().unwrap();

    let ran = run(on(&server), "djinn upload web /nowhere/at.qcow2");

    assert_eq!((ran.status, ran.out.as_str()), (Some(1), ""));
    assert!(
        ran.err.starts_with("error: create image \"web\": "),
        "{ran:?}"
    );
    assert!(ran.err.contains("No such file or directory"), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
}
