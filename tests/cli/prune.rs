use jiff::{SignedDuration, Timestamp};
use machine_images::testing::{DjinnServer, Fault};

use super::{example_on, run};

/// A server with nightly images of these ages in days, and some that are not to be deleted.
fn server(ages: &[i64]) -> DjinnServer {
    let server = DjinnServer::builder().user("eli", "t0k3n").start().unwrap();
    let add = |name: &str, author: &str, days: i64| {
        let time = Timestamp::now() - SignedDuration::from_hours(24 * days);
        let image = server.new_image(name).author(author).created_at(time);
        image.add().unwrap();
    };
    for days in ages {
        add(&format!("nightly-{days}"), "tester", *days);
    }
    add("release-1", "tester", 1000);
    add("not-nightly-1", "tester", 1000);
    server
}

fn names(server: &DjinnServer) -> Vec<String> {
    let listed = run(super::on(server), "--json djinn list").ok().json();
    let names = listed.iter().map(|image| image["name"].as_str().unwrap());
    let nightly = names.filter(|name| name.starts_with("nightly-"));
    nightly.map(String::from).collect()
}

fn prune(server: &DjinnServer, args: &str) -> super::Ran {
    run(example_on("prune", server), &format!("nightly- {args}"))
}

#[test]
fn only_old_images_beyond_those_to_keep_are_deleted() {
    for (args, left) in [
        ("--older-than 30 --keep 0", &["nightly-1", "nightly-20"][..]),
        ("--older-than 30 --keep 2", &["nightly-1", "nightly-20"]),
        ("--older-than 10 --keep 1", &["nightly-1"]),
        (
            "--older-than 10 --keep 3",
            &["nightly-1", "nightly-20", "nightly-40"],
        ),
        ("--older-than 0 --keep 0", &[]),
    ] {
        let server = server(&[1, 20, 40, 50]);

        let ran = prune(&server, args).ok();

        assert_eq!(names(&server), left, "{args}");
        assert_eq!(ran.out.lines().count(), 4 - left.len(), "{ran:?}");
        assert_eq!(server.image_count(), left.len() + 2, "{args}");
    }
}

#[test]
fn a_dry_run_deletes_nothing() {
    let server = server(&[1, 40, 50]);

    let ran = prune(&server, "--older-than 30 --dry-run").ok();

    assert_eq!(names(&server).len(), 3);
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("would delete "), "{ran:?}");
    assert!(lines[0].contains("nightly-40") && lines[1].contains("nightly-50"));
}

#[test]
fn images_of_others_are_left_alone() {
    let server = server(&[]);
    server
        .add_namespace("shared", machine_images::djinn::Visibility::Private)
        .unwrap();
    server.add_collaborator("shared", "eli").unwrap();
    let time = Timestamp::now() - SignedDuration::from_hours(24 * 100);
    let image = server.new_image("nightly-100").namespace("shared");
    image.created_at(time).add().unwrap();
    let count = server.image_count();

    let mut program = example_on("prune", &server);
    program.env("DJINN_TOKEN", "t0k3n");
    run(program, "nightly- --older-than 1 --keep 0").ok();

    assert_eq!(server.image_count(), count);
}

#[test]
fn an_image_that_cannot_be_deleted_is_a_failure_and_stops_nothing() {
    let server = server(&[40, 50, 60]);
    let second = Fault::status(403).on("DELETE", "/images/2");
    server.inject(second);

    let ran = prune(&server, "--older-than 30 --keep 1");

    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.err.contains("1 images could not"), "{ran:?}");
    assert_eq!(names(&server), ["nightly-40", "nightly-50"]);
}
