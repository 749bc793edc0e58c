//! Who asks and where, and that nobody else learns it.

use std::error::Error as _;
use std::fmt::Write;
use std::process::Command;
#[cfg(unix)]
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use machine_images::devops::{Client, NewImage};
use machine_images::{Error, ErrorKind, RetryPolicy};
use wiremock::MockServer;

use super::{BASIC, Sent, answering, answering_json, only_request};

const PASSWORD: &str = "canary-p4ssw0rd";
const TOKEN: &str = "canary-t0k3n";
/// `canary:canary-p4ssw0rd`
const LOGIN: &str = "Y2FuYXJ5OmNhbmFyeS1wNHNzdzByZA==";

async fn authorization(build: impl FnOnce(&MockServer) -> Client) -> Option<String> {
    let server = answering_json(200, "[]").await;
    build(&server).images().list().await.unwrap();
    only_request(&server).await.authorization
}

#[tokio::test]
async fn a_login_a_token_or_nothing() {
    let basic = |server: &MockServer| {
        let builder = Client::builder(server.uri()).basic("gordon", "secret");
        builder.build().unwrap()
    };
    assert_eq!(authorization(basic).await.as_deref(), Some(BASIC));
    let bearer = |server: &MockServer| {
        let builder = Client::builder(server.uri()).basic("gordon", "secret");
        builder.token("t0k3n").build().unwrap()
    };
    assert_eq!(authorization(bearer).await.as_deref(), Some("Bearer t0k3n"));
    let nobody = |server: &MockServer| Client::builder(server.uri()).build().unwrap();
    assert_eq!(authorization(nobody).await, None);
}

#[tokio::test]
async fn a_password_may_have_any_characters_or_none() {
    for (password, expected) in [
        ("a:b c\u{e9}", "Basic Z29yZG9uOmE6YiBjw6k="),
        ("", "Basic Z29yZG9uOg=="),
    ] {
        let client = |server: &MockServer| {
            let builder = Client::builder(server.uri()).basic("gordon", password);
            builder.build().unwrap()
        };
        assert_eq!(authorization(client).await.as_deref(), Some(expected));
    }
}

#[test]
fn a_colon_in_the_users_name_would_become_the_passwords() {
    let builder = Client::builder("http://h").basic("a:b", "secret");
    assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn the_base_may_have_a_path() {
    for slash in ["", "/"] {
        let server = answering_json(200, "[]").await;
        let base = format!("{}/devops/api{slash}", server.uri());
        let client = Client::builder(base).build().unwrap();
        client.images().list().await.unwrap();
        let call = only_request(&server).await.call;
        assert_eq!(call, "GET /devops/api/v3/images");
    }
}

#[cfg(unix)]
const NOT_UTF_8: &str = "stands for a byte that is not UTF-8";

/// What `from_env` and a list make of an environment: the request, or the error's text.
async fn from_env(variables: &[(&str, &str)]) -> Result<Sent, String> {
    let server = MockServer::start().await;
    wiremock::Mock::given(wiremock::matchers::any())
        .respond_with(wiremock::ResponseTemplate::new(200).set_body_raw("[]", "application/json"))
        .mount(&server)
        .await;
    // The environment of a process cannot be changed safely under running threads.
    let mut child = Command::new(std::env::current_exe().unwrap());
    for name in [
        "DEVOPS_SERVER",
        "DEVOPS_USER",
        "DEVOPS_PASSWORD",
        "DEVOPS_TOKEN",
    ] {
        child.env_remove(name);
    }
    for (name, value) in variables {
        match *value {
            #[cfg(unix)]
            NOT_UTF_8 => {
                let value: &OsStr = OsStrExt::from_bytes(b"\xff");
                child.env(name, value)
            }
            value => child.env(name, value.replace("SERVER", &server.uri())),
        };
    }
    child.args(["--exact", "devops::client::child", "--ignored"]);
    child.args(["--nocapture", "--test-threads=1"]);
    let output = tokio::task::spawn_blocking(move || child.output());
    let output = output.await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match server.received_requests().await.unwrap().as_slice() {
        [] => Err(text),
        [request] => {
            assert!(output.status.success(), "{text}");
            Ok(Sent::new(request))
        }
        more => panic!("{} requests", more.len()),
    }
}

#[tokio::test]
#[ignore = "run by the_environment_names_server_and_login and others, in an environment of its own"]
#[allow(clippy::print_stderr)]
async fn child() {
    match Client::from_env() {
        Ok(client) => assert_eq!(client.images().list().await.unwrap(), []),
        Err(error) => eprintln!("{:?}: {error}", error.kind()),
    }
}

#[tokio::test]
async fn the_environment_names_server_and_login() {
    let server = ("DEVOPS_SERVER", "SERVER");
    let user = ("DEVOPS_USER", "gordon");
    let password = ("DEVOPS_PASSWORD", "secret");
    let token = ("DEVOPS_TOKEN", "t0k3n");
    for (variables, expected) in [
        (vec![server, user, password], BASIC),
        (vec![server, token], "Bearer t0k3n"),
        (vec![server, user, password, token], "Bearer t0k3n"),
        (vec![server, user, password, ("DEVOPS_TOKEN", "")], BASIC),
        // An empty password is a password: `gordon:`
        (
            vec![server, user, ("DEVOPS_PASSWORD", "")],
            "Basic Z29yZG9uOg==",
        ),
    ] {
        let sent = from_env(&variables).await.unwrap();
        assert_eq!(sent.call, "GET /v3/images");
        assert_eq!(sent.authorization.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn an_environment_without_server_or_login_is_refused() {
    let server = ("DEVOPS_SERVER", "SERVER");
    let user = ("DEVOPS_USER", "gordon");
    let password = ("DEVOPS_PASSWORD", "secret");
    for (variables, missing) in [
        (vec![user, password], "DEVOPS_SERVER is not set"),
        (vec![server], "neither DEVOPS_TOKEN nor DEVOPS_USER is set"),
        (
            vec![server, password],
            "neither DEVOPS_TOKEN nor DEVOPS_USER is set",
        ),
        (vec![server, user], "DEVOPS_PASSWORD is not set"),
        #[cfg(unix)]
        (
            vec![server, user, password, ("DEVOPS_TOKEN", NOT_UTF_8)],
            "DEVOPS_TOKEN is not UTF-8",
        ),
    ] {
        let text = from_env(&variables).await.unwrap_err();
        assert!(text.contains("InvalidInput"), "{text}");
        assert!(text.contains(missing), "{text}");
    }
}

/// Everything that an error says of itself.
fn whole(error: &Error) -> String {
    let mut text = format!(
        "{error} {error:?} {error:#?} {:?} {:?} {:?}",
        error.url(),
        error.message(),
        error.fields()
    );
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, " {cause} {cause:?}").unwrap();
        source = cause.source();
    }
    text
}

fn assert_secret(text: &str) {
    for secret in [PASSWORD, TOKEN, LOGIN] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn debug_shows_no_secrets() {
    for builder in [
        Client::builder("http://h/x").token(TOKEN),
        Client::builder("http://h/x").basic("canary", PASSWORD),
        Client::builder(format!("http://canary:{PASSWORD}@h/x?token={TOKEN}")),
    ] {
        assert_secret(&format!("{builder:?} {builder:#?}"));
        match builder.build() {
            Err(error) => assert_secret(&whole(&error)),
            Ok(client) => {
                let images = client.images();
                let text = format!(
                    "{client:?} {images:?} {:?} {:?}",
                    images.list(),
                    images.update("x")
                );
                assert!(text.contains("http://h/x"), "{text}");
                assert_secret(&text);
            }
        }
    }
}

#[tokio::test]
async fn no_error_shows_secrets_even_if_the_server_repeats_them() {
    let all = format!("{PASSWORD} {TOKEN} {LOGIN}");
    let message = format!(r#"{{"message":"{all}","{TOKEN}":["{PASSWORD}"]}}"#);
    let fields = format!(r#"{{"login":["{all}"]}}"#);
    let text = format!(r#""{all}""#);
    let html = format!("<h1>{all}</h1>");
    for (status, content_type, body) in [
        (400, "application/json", &message),
        (401, "application/json", &message),
        (400, "application/json", &fields),
        (404, "text/plain", &all),
        (502, "text/html", &html),
        (200, "application/json", &text),
        (200, "text/html", &html),
    ] {
        for basic in [true, false] {
            let server = answering(status, content_type, body).await;
            let builder = Client::builder(server.uri()).retry(RetryPolicy::none());
            let (builder, sent) = match basic {
                true => (builder.basic("canary", PASSWORD), [PASSWORD, LOGIN]),
                false => (builder.token(TOKEN), [TOKEN, TOKEN]),
            };
            let images = builder.build().unwrap().images();
            let error = images.delete("x").send().await.unwrap_err();
            for secret in sent {
                assert!(!whole(&error).contains(secret), "{}", whole(&error));
            }
        }
    }
}

#[tokio::test]
async fn an_error_without_an_answer_shows_no_secrets() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    for builder in [
        Client::builder(&base).basic("canary", PASSWORD),
        Client::builder(&base).token(TOKEN),
    ] {
        let client = builder.retry(RetryPolicy::none()).build().unwrap();
        let error = client.images().list().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert_secret(&whole(&error));
    }
}

#[test]
fn futures_are_small_and_can_be_sent() {
    fn size<T: Send>(future: &T) -> usize {
        size_of_val(future)
    }
    let images = Client::builder("http://h").build().unwrap().images();
    let new = NewImage::new("a", "p", "u", "n");
    for size in [
        size(&images.list().all()),
        size(&images.get("a").send()),
        size(&images.create(new).send()),
        size(&images.update("a").name("x").send()),
        size(&images.delete("a").send()),
    ] {
        assert!(size < 6 * 1024, "{size}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_know_the_provider_lists_no_others() {
    let row = |id: &str, provider: &str| {
        format!(r#"{{"id":"{id}","provider":"{provider}","remote_user":"root","name":"x"}}"#)
    };
    let all = [row("a", "ec2"), row("b", "openstack"), row("c", "ec2")].join(",");
    let server = answering(200, "application/json", &format!("[{all}]")).await;

    let listed = super::images(&server).list().provider("ec2").await.unwrap();

    let ids: Vec<_> = listed.iter().map(|image| image.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
}
