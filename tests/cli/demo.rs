use machine_images::testing::DevopsServer;

use super::{DISK, program, run};

#[test]
fn a_demo_has_something_to_list_and_says_what_it_is() {
    for (service, name) in [("djinn", "debian-12"), ("devops", "ami-63071b0a")] {
        let ran = run(program(), &format!("{service} --demo list")).ok();
        assert!(ran.out.contains(name), "{ran:?}");
        assert!(ran.err.starts_with("note: --demo: "), "{ran:?}");
        assert!(ran.err.contains("embedded"), "{ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");

        let ran = run(program(), &format!("--json {service} --demo list")).ok();
        assert!(ran.json().len() > 1, "{ran:?}");
    }
}

#[test]
fn a_demo_runs_every_kind_of_command() {
    let upload = format!("djinn --demo upload web {DISK} --reconcile");
    for args in [
        upload.as_str(),
        "djinn --demo get 1",
        "djinn --demo find kernels --namespace lab",
        "djinn --demo list --namespace tester/lab",
        "djinn --demo inspect 1",
        "djinn --demo delete 1",
        "devops --demo get ami-63071b0a",
        "devops --demo update ami-63071b0a --name web",
        "devops --demo create ami-1 --provider ec2 --remote-user root --name web",
        "devops --demo delete ami-63071b0a",
    ] {
        assert!(!run(program(), args).ok().out.is_empty(), "{args}");
    }
}

#[test]
fn a_demo_leaves_the_server_that_is_set_alone() {
    let server = machine_images::testing::DjinnServer::start().unwrap();
    let ran = run(super::on(&server), "djinn --demo list").ok();
    assert!(ran.out.contains("debian-12"), "{ran:?}");
    assert!(server.requests().is_empty());
}

#[test]
fn a_password_may_be_empty() {
    let server = DevopsServer::builder()
        .user(
            "nobody",
            "",
            &[machine_images::testing::AccessPolicy::ReadImages],
        )
        .start()
        .unwrap();
    server.add_image("ami-1", "ec2", "root", "web");
    let from_env = |password: Option<&str>| {
        let mut program = program();
        program.env("DEVOPS_SERVER", server.url().as_str());
        program.env("DEVOPS_USER", "nobody");
        if let Some(password) = password {
            program.env("DEVOPS_PASSWORD", password);
        }
        program
    };
    for (program, args) in [
        (from_env(Some("")), "devops list"),
        (from_env(None), "devops --password= list"),
        (from_env(Some("wrong")), "devops --password= list"),
    ] {
        let ran = run(program, args).ok();
        assert!(ran.out.contains("ami-1"), "{ran:?}");
    }
    let ran = run(from_env(Some("wrong")), "--json devops list");
    assert_eq!(ran.failure()["error"], "unauthorized");
}

#[test]
fn a_user_that_is_named_goes_before_a_token_of_the_environment() {
    let server = DevopsServer::builder().start().unwrap();
    let (user, password) = server.login();
    for (token, args, kind) in [
        (
            "",
            format!("--user {user} --password {password} list"),
            None,
        ),
        (
            "t",
            format!("--user {user} --password {password} list"),
            None,
        ),
        ("t", "list".to_owned(), Some("unauthorized")),
    ] {
        let mut program = program();
        program.env("DEVOPS_SERVER", server.url().as_str());
        program.env("DEVOPS_TOKEN", token);
        let ran = run(program, &format!("--json devops {args}"));
        match kind {
            None => assert_eq!(ran.status, Some(0), "{ran:?}"),
            Some(kind) => assert_eq!(ran.failure()["error"], kind, "{ran:?}"),
        }
    }
}
