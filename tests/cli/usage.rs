use super::{DISK, Ran, program, run};

#[track_caller]
fn is_wrong_usage(ran: &Ran, says: &[&str]) {
    assert_eq!(ran.status, Some(2), "{ran:?}");
    assert_eq!(ran.out, "", "{ran:?}");
    for text in says {
        assert!(ran.err.contains(text), "no {text} in {ran:?}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_wrong_usage() {
    for args in [
        "",
        "djinn",
        "djinn --demo",
        "djinn --demo nonsense",
        "djinn --demo get",
        "djinn --demo get debian",
        "djinn --demo list --limit -1",
        "djinn --demo list --namespace lab",
        "djinn --demo list --namespace tester/",
        "djinn --demo list --namespace tester/a-b",
        "djinn --demo find web --namespace a-b",
        "djinn --demo upload web",
        "djinn --demo content 1 file --sha256 12",
        "djinn --demo content 1 file --connections 0",
        "djinn --demo content 1 - --connections 2",
        "djinn --demo content 1 - --refresh",
        "djinn --demo content 1 - --raw --connections 2",
        "devops --server http://h --token t --user u list",
        "devops --server http://h --password p list",
        "devops --demo create ami-1 --provider ec2",
        "devops --demo update ami-1",
        "inspect",
    ] {
        let ran = run(program(), args);
        is_wrong_usage(&ran, &[]);
        assert!(!ran.err.is_empty(), "{args}");
    }
}

#[test]
fn a_command_without_a_server_is_wrong_usage() {
    let upload = format!("djinn upload web {DISK}");
    for (args, variable) in [
        ("djinn list", "DJINN_API_SERVER"),
        ("--json djinn get 1", "DJINN_API_SERVER"),
        (upload.as_str(), "DJINN_API_SERVER"),
        ("djinn --server= list", "DJINN_API_SERVER"),
        ("devops list", "DEVOPS_SERVER"),
        ("devops --user root --password= list", "DEVOPS_SERVER"),
    ] {
        let ran = run(program(), args);
        is_wrong_usage(&ran, &["no server", "--server", variable, "--demo"]);
    }
    let mut empty = program();
    empty.env("DJINN_API_SERVER", "");
    is_wrong_usage(&run(empty, "djinn list"), &["DJINN_API_SERVER"]);
}

#[test]
fn a_digest_without_reconcile_is_wrong_usage() {
    let digest = "0".repeat(64);
    let ran = run(
        program(),
        &format!("djinn --demo upload web {DISK} --sha256 {digest}"),
    );
    is_wrong_usage(&ran, &["--reconcile"]);
}

#[cfg(feature = "disk")]
#[test]
fn a_raw_disk_is_a_file_and_only_it_is_compressed() {
    for (args, text) in [
        (format!("{DISK} --compress zlib"), "--raw"),
        (format!("{DISK} --raw --compress lz4"), "zstd"),
        ("- --raw".to_owned(), "standard input"),
    ] {
        let ran = run(program(), &format!("djinn --demo upload web {args}"));
        is_wrong_usage(&ran, &[text]);
    }
}

#[cfg(unix)]
#[test]
fn a_login_that_is_not_utf_8_is_wrong_usage() {
    use std::os::unix::ffi::OsStrExt;

    for variable in ["DEVOPS_USER", "DEVOPS_PASSWORD", "DEVOPS_TOKEN"] {
        let mut program = program();
        program.env("DEVOPS_USER", "gordon");
        program.env(variable, std::ffi::OsStr::from_bytes(b"se\xffcret"));
        let ran = run(program, "devops --server http://127.0.0.1:9 list");
        is_wrong_usage(&ran, &[&format!("{variable} is not UTF-8")]);
    }
}

#[test]
fn wrong_usage_says_no_secret() {
    for args in ["djinn list", "djinn --help", "devops --help"] {
        let mut program = program();
        program.env("DJINN_TOKEN", "canary-token");
        program.env("DEVOPS_PASSWORD", "canary-password");
        let ran = run(program, args);
        assert!(!format!("{ran:?}").contains("canary"), "{args}: {ran:?}");
    }
}
