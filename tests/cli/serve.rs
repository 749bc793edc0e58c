use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::{Running, example, program, run};

/// Starts it, and returns the variables of the first two lines.
fn serve(args: &[&str]) -> (Running, Vec<(String, String)>) {
    let mut serve = example("serve");
    serve
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = serve.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(2);
    let mut variables = Vec::new();
    for line in lines {
        let line = line.unwrap();
        let settings = line.strip_prefix("export ").unwrap().split(' ');
        let settings = settings.map(|setting| setting.split_once('=').unwrap());
        variables.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    (Running(child), variables)
}

#[test]
fn the_lines_that_it_prints_are_all_that_the_program_needs() {
    let (_serving, variables) = serve(&[]);
    for service in ["djinn", "devops"] {
        let mut program = program();
        program.envs(variables.clone());
        run(program, &format!("--json {service} list")).ok();
    }
}

#[test]
fn the_port_can_be_set() {
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let next = std::net::TcpListener::bind(("127.0.0.1", port.checked_add(1)?));
        next.is_ok().then_some(port)
    };
    let port = std::iter::repeat_with(free).flatten().next().unwrap();

    let (_serving, variables) = serve(&["--port", &port.to_string()]);

    let value = |name: &str| &variables.iter().find(|(key, _)| key == name).unwrap().1;
    assert_eq!(
        value("DJINN_API_SERVER"),
        &format!("http://127.0.0.1:{port}/api")
    );
    let devops = format!("http://127.0.0.1:{}", port + 1);
    assert!(value("DEVOPS_SERVER").starts_with(&devops), "{variables:?}");
}

#[test]
fn a_port_without_a_next_is_wrong_usage() {
    for port in ["0", "65535", "-1", "djinn"] {
        let ran = run(example("serve"), &format!("--port {port}"));
        assert_eq!(ran.status, Some(2), "{ran:?}");
    }
}
