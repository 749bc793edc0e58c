use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use machine_images::devops::ApiVersion;
use machine_images::testing::{AccessPolicy, DevopsServer, Fault};
use serde_json::{Value, json};

use crate::http::{Answer, connect, exchange};

const ROOT: &str = "Authorization: Basic cm9vdDpzZWNyZXQ=\r\n";
const JSON: &str = "Accept: application/json\r\nContent-Type: application/json\r\n";

fn raw(server: &DevopsServer, call: &str, headers: &str, body: &str) -> Answer {
    let request = format!(
        "{call} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    Answer::parse(&exchange(&server.url(), request.as_bytes()))
}

fn call(server: &DevopsServer, call: &str, body: &str) -> (u16, Value) {
    let answer = raw(server, call, &format!("{ROOT}{JSON}"), body);
    let media_type = answer.header("Content-Type").unwrap();
    assert_eq!(media_type.split(';').next(), Some("application/json"));
    (answer.status(), answer.json())
}

fn server() -> DevopsServer {
    let server = DevopsServer::start().unwrap();
    server.add_image("ami-1", "ec2", "ec2-user", "debian");
    server
}

fn image(id: &str, provider: &str) -> Value {
    json!({"id": id, "provider": provider, "remote_user": "root", "name": ""})
}

#[test]
fn version_3_answers_as_documented() {
    let server = server();
    let debian = json!({
        "bootstrap_template": null, "id": "ami-1", "name": "debian",
        "provider": "ec2", "remote_user": "ec2-user",
    });
    assert_eq!(call(&server, "GET /v3/images", ""), (200, json!([debian])));
    assert_eq!(call(&server, "GET /v3/image/ami-1", ""), (200, debian));
    let record = image("u/u id", "openstack").to_string();
    let created = json!({"id": "u/u id", "message": "Created"});
    assert_eq!(call(&server, "POST /v3/image", &record), (200, created));
    let change = json!({"remote_user": "me", "name": "n", "id": "ignored"}).to_string();
    let image = json!({
        "bootstrap_template": null, "id": "u/u id", "name": "n",
        "provider": "openstack", "remote_user": "me",
    });
    let updated = json!({"image": image, "message": "Updated"});
    assert_eq!(
        call(&server, "PUT /v3/image/u%2Fu%20id", &change),
        (200, updated)
    );
    let deleted = json!({"id": "u/u id", "message": "Deleted"});
    assert_eq!(
        call(&server, "DELETE /v3/image/u%2Fu%20id", ""),
        (200, deleted)
    );
    assert_eq!(server.images().len(), 1);
}

#[test]
fn version_2_checks_in_the_order_of_the_real_server() {
    let server = DevopsServer::builder()
        .api_version(ApiVersion::V2)
        .user("reader", "pw", &[AccessPolicy::ReadImages])
        .start()
        .unwrap();
    server.add_image("ami-1", "ec2", "ec2-user", "debian");
    let reader = "Authorization: Basic cmVhZGVyOnB3\r\n";
    let accept = "Accept: application/json\r\n";
    let record = json!({"provider": "ec2", "remote_user": "me"}).to_string();
    // Each request fixes one more error than the one before.
    for (path, headers, body, status, problem) in [
        ("v2.0/image/x", vec![], "{", 401, ""),
        ("v2.0/image/x", vec![reader], "{", 406, "Accept header"),
        (
            "v2.0/image/x",
            vec![reader, accept],
            "{",
            415,
            "Content-Type",
        ),
        (
            "v2.0/image/x",
            vec![reader, JSON],
            "{",
            401,
            "Access denied for 'reader'",
        ),
        (
            "v2.0/image/x",
            vec![ROOT, JSON],
            "{",
            404,
            "Image 'x' does not exist",
        ),
        (
            "v2.0/image/ami-1",
            vec![ROOT, JSON],
            "{",
            400,
            "Invalid JSON",
        ),
        (
            "v2.0/image/ami-1",
            vec![ROOT, JSON],
            "{}",
            400,
            "'provider', 'remote_user'",
        ),
        (
            "v2.0/image/ami-1",
            vec![ROOT, JSON],
            &record,
            200,
            "has been updated",
        ),
    ] {
        let answer = raw(&server, &format!("PUT /{path}"), &headers.concat(), body);
        assert_eq!(answer.status(), status, "{}", answer.text());
        assert!(answer.text().contains(problem), "{}", answer.text());
    }
    let replaced = json!({
        "bootstrap_template": null, "id": "ami-1", "name": "",
        "provider": "ec2", "remote_user": "me",
    });
    assert_eq!(server.images(), [replaced]);
}

#[test]
fn a_provider_without_a_filter_offers_every_image() {
    let server = DevopsServer::builder().provider("vax").start().unwrap();
    assert_eq!(
        call(&server, "POST /v3/image", &image("a", "vax").to_string()).0,
        200
    );
    assert_eq!(
        call(&server, "GET /v3/filter/vax/images", ""),
        (200, json!(["a"]))
    );
    let filtered = json!({"images": ["a", "b"], "message": "Updated"});
    let added = call(&server, "PUT /v3/filter/vax/image", r#"["a", "b"]"#);
    assert_eq!(added, (200, filtered));
    assert_eq!(
        call(&server, "POST /v3/image", &image("b", "vax").to_string()).0,
        200
    );
    let (status, answer) = call(&server, "POST /v3/image", &image("c", "vax").to_string());
    let problem = "Invalid image id 'c' for provider 'vax', please check image filters";
    assert_eq!((status, answer), (400, json!({"message": problem})));
}

#[test]
fn lists_are_filtered_by_known_providers() {
    let server = server();
    server.add_image("b", "openstack", "root", "");
    let ids = |query: &str| {
        let (status, rows) = call(&server, &format!("GET /v3/images{query}"), "");
        let ids = rows
            .as_array()
            .map(|rows| rows.iter().map(|row| row["id"].clone()).collect());
        (status, ids.unwrap_or_else(|| vec![rows]))
    };
    assert_eq!(ids(""), (200, vec![json!("ami-1"), json!("b")]));
    assert_eq!(ids("?provider=openstack"), (200, vec![json!("b")]));
    assert_eq!(ids("/provider/ec2"), (200, vec![json!("ami-1")]));
    let unknown = json!({"message": "Invalid provider 'vax'"});
    assert_eq!(ids("?provider=vax"), (404, vec![unknown]));
}

#[test]
fn a_bad_login_and_a_missing_policy_have_different_answers() {
    let server = DevopsServer::builder()
        .user("reader", "pw", &[AccessPolicy::ReadImages])
        .token("t0k3n", &[AccessPolicy::CreateImage])
        .start()
        .unwrap();
    let reader = "Authorization: Basic cmVhZGVyOnB3\r\n";
    let token = "Authorization: Bearer t0k3n\r\n";
    let record = image("a", "ec2").to_string();
    for (authorization, request, body, status) in [
        ("", "GET /v3/images", "", 401),
        ("Authorization: Basic eDp5\r\n", "GET /v3/images", "", 401),
        (reader, "GET /v3/images", "", 200),
        (reader, "POST /v3/image", record.as_str(), 401),
        (token, "POST /v3/image", record.as_str(), 200),
        (token, "PUT /v3/image/a", "{}", 200),
        (token, "GET /v3/image/a", "", 401),
        (token, "DELETE /v3/image/a", "", 401),
        (ROOT, "DELETE /v3/image/a", "", 200),
    ] {
        let answer = raw(&server, request, &format!("{authorization}{JSON}"), body);
        assert_eq!(answer.status(), status, "{authorization}{request}");
        let is_bad_login = ![reader, token, ROOT].contains(&authorization);
        assert_eq!(answer.header("Www-Authenticate").is_some(), is_bad_login);
        assert_eq!(answer.body.is_empty(), is_bad_login);
    }
}

#[test]
fn bad_requests_have_different_answers() {
    let server = server();
    server.mark_in_use("ami-1", "proj.test");
    let duplicate = image("ami-1", "ec2").to_string();
    let provider = image("b", "vax").to_string();
    for (request, body, status) in [
        ("POST /v3/image", "{", 400),
        ("POST /v3/image", "[]", 400),
        ("POST /v3/image", "{}", 400),
        ("POST /v3/image", r#"{"id":"b","provider":"ec2"}"#, 400),
        ("POST /v3/image", provider.as_str(), 400),
        ("POST /v3/image", duplicate.as_str(), 400),
        ("PUT /v3/image/ami-1", r#"{"name":5}"#, 400),
        ("PUT /v3/image/ami-1", r#"{"remote_user":""}"#, 400),
        ("PUT /v3/image/b", "{}", 404),
        ("GET /v3/image/b", "", 404),
        ("DELETE /v3/image/b", "", 404),
        ("DELETE /v3/image/ami-1", "", 400),
    ] {
        let (seen, answer) = call(&server, request, body);
        assert_eq!(seen, status, "{request} {body}");
        assert!(answer["message"].is_string(), "{answer}");
    }
    let accept = "Accept: text/html\r\n";
    assert_eq!(
        raw(&server, "GET /v3/images", &format!("{ROOT}{accept}"), "").status(),
        406
    );
    let accept = "Accept: */*, application/json;q=0.5\r\n";
    assert_eq!(
        raw(&server, "GET /v3/images", &format!("{ROOT}{accept}"), "").status(),
        200
    );
    let kind = "Accept: application/json\r\nContent-Type: text/plain\r\n";
    assert_eq!(
        raw(&server, "POST /v3/image", &format!("{ROOT}{kind}"), "{}").status(),
        415
    );
    for unknown in [
        "GET /v3/image/",
        "GET /v3/image/a/b",
        "PATCH /v3/images",
        "GET /v2/images",
    ] {
        let answer = raw(&server, unknown, &format!("{ROOT}{JSON}"), "");
        assert_eq!(
            (answer.status(), answer.text()),
            (404, "Not found"),
            "{unknown}"
        );
        assert_eq!(
            answer.header("Content-Type"),
            Some("text/plain; charset=utf-8")
        );
    }
}

#[test]
fn requests_are_recorded_and_faults_are_injected() {
    let server = server();
    server.inject(Fault::status(503).on("GET", "/v3/images"));
    assert_eq!(call(&server, "GET /v3/image/ami-1", "").0, 200);
    let answer = raw(&server, "GET /v3/images", &format!("{ROOT}{JSON}"), "");
    assert_eq!(answer.status(), 503);
    let statuses: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.status)
        .collect();
    assert_eq!(statuses, [Some(200), Some(503)]);
}

#[test]
fn the_service_can_be_below_a_path() {
    let server = DevopsServer::builder()
        .base_path("/devops/")
        .start()
        .unwrap();
    assert_eq!(server.url().path(), "/devops");
    assert_eq!(call(&server, "GET /devops/v3/images", ""), (200, json!([])));
}

#[test]
fn a_server_restarts_with_its_images() {
    let server = server();
    let mut idle = connect(&server.url());
    server.restart(Duration::ZERO);
    let end = idle.read(&mut [0]).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    let address = server.url().socket_addrs(|| None).unwrap();
    let began = Instant::now();
    while TcpStream::connect(&*address).is_err() {
        assert!(began.elapsed() < Duration::from_secs(10));
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(call(&server, "GET /v3/image/ami-1", "").0, 200);
}
