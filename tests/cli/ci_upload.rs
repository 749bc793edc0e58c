use machine_images::testing::{Close, DjinnServer, Fault, empty_qcow2};

use super::{DISK, Ran, example_on, run};

fn upload(server: &DjinnServer, args: &str) -> Ran {
    run(example_on("ci_upload", server), &format!("web {args}"))
}

fn id(ran: Ran) -> i64 {
    ran.ok().out.trim().parse().unwrap()
}

#[test]
fn a_job_that_runs_again_uploads_once() {
    for namespace in ["", "--namespace lab"] {
        let server = DjinnServer::start().unwrap();
        let args = format!("{DISK} {namespace}");

        let first = id(upload(&server, &args));
        let second = id(upload(&server, &args));

        assert_eq!(first, second);
        assert_eq!(server.image_count(), 1);
        assert_eq!(server.content(first).unwrap(), std::fs::read(DISK).unwrap());
    }
}

#[test]
fn a_lost_answer_is_no_second_image() {
    let server = DjinnServer::start().unwrap();
    let close = Close::Reset;
    server.inject(Fault::DropResponse { close }.on("POST", "/images"));

    id(upload(&server, DISK));

    assert_eq!(server.image_count(), 1);
}

#[test]
fn the_exit_code_says_what_to_do() {
    let server = DjinnServer::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    std::fs::write(&text, "not an image").unwrap();

    assert_eq!(upload(&server, "/nowhere/at.qcow2").status, Some(1));
    assert_eq!(upload(&server, "").status, Some(2));
    assert_eq!(upload(&server, text.to_str().unwrap()).status, Some(4));

    server.add_image("web", empty_qcow2(1 << 20)).unwrap();
    let taken = upload(&server, DISK);
    assert_eq!(taken.status, Some(3));
    assert!(taken.err.contains("exists already"), "{taken:?}");
    assert_eq!(taken.out, "");

    let mut wrong = example_on("ci_upload", &server);
    wrong.env("DJINN_TOKEN", "wrong");
    assert_eq!(run(wrong, &format!("web {DISK}")).status, Some(1));

    server.inject(Fault::status(503).on("POST", "/images").always());
    assert_eq!(
        run(example_on("ci_upload", &server), &format!("other {DISK}")).status,
        Some(75)
    );
}
