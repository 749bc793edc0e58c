//! The requests that were sent to the real version 2 server, sent to the embedded one.

use std::collections::BTreeMap;

use machine_images::devops::ApiVersion;
use machine_images::testing::{AccessPolicy, DevopsServer};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Answer, exchange};

#[derive(Deserialize)]
struct Capture {
    name: String,
    request: Request,
    response: Response,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    json: Option<Value>,
    text: Option<String>,
}

/// A step of the replay. Those that were not captured only establish the state of the next ones.
#[derive(Clone, Copy)]
enum Step {
    Captured(&'static str),
    Create(&'static str),
    Put(&'static str, &'static str),
    Delete(&'static str),
}

use Step::{Captured, Create, Delete, Put};

/// The ids in the filter of `ec2`, in the order of `filter-get`.
const EC2_FILTER: [&str; 18] = [
    "ami-63071b0a",
    "ami-2",
    "ami-3",
    "ami-used",
    "gone-1",
    "ami-loose",
    "a/b/c",
    "with space",
    "плитка",
    "100%",
    "q?x#y",
    "a+b",
    "semi;colon",
    "dot.ted",
    "a%2Fb",
    "tilde~",
    "c:d@e",
    "тест/x y",
];

const OPENSTACK_ID: &str = "08093b30-8393-42c3-8fb3-c4df56deb967";

const USED2: &str = r#"{"provider":"ec2","remote_user":"ec2-user","name":"used2"}"#;
const NULL_NAME: &str = r#"{"provider":"ec2","remote_user":"ec2-user","name":null}"#;

/// Every exchange once, in an order that leads from the state of one to that of the next: the
/// captures are sorted by name, and have no times.
const SCRIPT: &[Step] = &[
    // Two images.
    Captured("accept-any"),
    Captured("accept-any-q-json"),
    Captured("accept-any-then-json"),
    Captured("accept-app-any"),
    Captured("accept-html"),
    Captured("accept-json-q"),
    Captured("accept-missing"),
    Captured("auth-bad-password"),
    Captured("auth-bearer"),
    Captured("auth-empty-password-bad"),
    Captured("auth-empty-password-ok"),
    Captured("auth-garbage"),
    Captured("auth-none"),
    Captured("auth-unknown-user"),
    Captured("auth-utf8"),
    Captured("priv-create-reader"),
    Captured("priv-delete-reader"),
    Captured("priv-list-none"),
    Captured("list-ok"),
    Captured("list-provider-ec2"),
    Captured("list-provider-static"),
    Captured("list-provider-unknown"),
    Captured("list-slash"),
    Captured("list-v3-path"),
    Captured("head-unknown"),
    Captured("show-ok"),
    Captured("show-case"),
    Captured("show-empty-id"),
    Captured("show-no-id"),
    Captured("show-template"),
    Captured("show-unknown"),
    Captured("show-unknown-priv"),
    Captured("method-override"),
    Captured("method-patch-image"),
    Captured("method-post-image-id"),
    Captured("method-post-images"),
    Captured("origin-foreign"),
    Captured("referer-foreign"),
    Captured("route-images-foo"),
    Captured("route-root"),
    Captured("route-unknown"),
    Captured("route-v2-root"),
    Captured("route-v2-root-slash"),
    Captured("version"),
    Captured("id-bad-percent"),
    Captured("id-dotdot-enc"),
    Captured("id-long"),
    Captured("id-null"),
    Captured("id-trailing-slash"),
    Captured("providers"),
    Captured("templates"),
    Captured("provider-images-ec2"),
    Captured("provider-images-static"),
    Captured("provider-images-unknown"),
    Captured("filter-get"),
    Captured("filter-empty"),
    Captured("filter-unknown"),
    Captured("filter-put-empty"),
    Captured("filter-put"),
    Captured("filter-delete"),
    // Creations that are refused.
    Captured("create-array"),
    Captured("create-bad-template"),
    Captured("create-bad-utf8"),
    Captured("create-ctype-form"),
    Captured("create-ctype-none"),
    Captured("create-ctype-text"),
    Captured("create-ctype-vnd"),
    Captured("create-empty-body"),
    Captured("create-empty-id"),
    Captured("create-empty-template"),
    Captured("create-empty-user"),
    Captured("create-gone-at-provider"),
    Captured("create-missing-all"),
    Captured("create-missing-id"),
    Captured("create-missing-remote-user"),
    Captured("create-no-accept"),
    Captured("create-no-body"),
    Captured("create-not-in-filter"),
    Captured("create-null-user"),
    Captured("create-number-name"),
    Captured("create-static-provider"),
    Captured("create-two-bad"),
    Captured("create-unknown-provider"),
    Captured("create-wrong-provider"),
    // Updates and deletion of one image.
    Captured("create-ok"),
    Captured("create-again"),
    Captured("update-change-provider"),
    Captured("update-ctype-none"),
    Captured("update-empty-body"),
    Captured("update-empty-object"),
    Captured("update-malformed"),
    Captured("update-name-only"),
    Captured("update-user-only"),
    Captured("update-v3-documented"),
    Captured("update-unknown"),
    Captured("update-all"),
    Captured("show-after-update-all"),
    Captured("update-no-template"),
    Captured("show-after-update-no-template"),
    Captured("update-provider-user-no-name"),
    Put("ami-63071b0a", NULL_NAME),
    Captured("show-after-null-name"),
    Captured("delete-noct-ok"),
    Captured("delete-ok"),
    Captured("delete-again"),
    Captured("delete-noct-unknown"),
    Captured("delete-unknown"),
    Captured("delete-unknown-priv"),
    Captured("delete-collection"),
    Captured("delete-in-use"),
    // Images without a name, or with a template.
    Captured("create-empty-name"),
    Captured("show-empty-name"),
    Captured("delete-ok-ami2"),
    Captured("create-template-ok"),
    Captured("delete-ctype"),
    Captured("create-missing-name"),
    Captured("show-after-missing-name"),
    Captured("delete-noct-empty-body"),
    // Ids.
    Captured("create-extra-field"),
    Captured("create-trims"),
    Captured("show-trimmed"),
    Captured("id-dot-show"),
    Create("semi;colon"),
    Captured("id-semicolon-raw-show"),
    Captured("create-unicode-name"),
    Captured("create-v3-answer"),
    Captured("id-plus-enc-show"),
    Captured("id-plus-raw-show"),
    Captured("id-slash-create"),
    Captured("id-slash-show"),
    Captured("id-slash-raw-show"),
    Captured("id-slash-update"),
    Captured("id-slash-delete"),
    Captured("id-space-create"),
    Captured("id-space-show"),
    Captured("id-space-plus-show"),
    Captured("id-space-delete"),
    Create("плитка"),
    Captured("id-unicode-show"),
    Captured("id-unicode-update"),
    Delete("%D0%BF%D0%BB%D0%B8%D1%82%D0%BA%D0%B0"),
    Captured("id-percent-create"),
    Captured("id-percent-show"),
    Captured("id-percent-update"),
    Captured("id-percent-delete"),
    Captured("id-query-create"),
    Captured("id-query-show"),
    Captured("id-query-update"),
    Captured("id-query-delete"),
    Create("a%2Fb"),
    Captured("id-encslash-show"),
    Captured("id-encslash-update"),
    Captured("id-encslash-delete"),
    Captured("id-plus-create"),
    Captured("id-colon-at-show"),
    Captured("id-colon-at-update"),
    Captured("id-colon-at-delete"),
    // The remaining images.
    Put("ami-used", USED2),
    Captured("accept-gzip"),
    Captured("head-list"),
    Captured("head-show"),
    Captured("id-query-override"),
];

fn captures() -> Vec<Capture> {
    serde_json::from_str(include_str!("../data/wire/devops.json")).unwrap()
}

fn server() -> DevopsServer {
    let server = DevopsServer::builder()
        .api_version(ApiVersion::V2)
        .user("user", "secret", &AccessPolicy::ALL)
        .user("nopass", "", &AccessPolicy::ALL)
        .user("müller", "geheim-ß", &AccessPolicy::ALL)
        .user("reader", "secret", &[AccessPolicy::ReadImages])
        .user("nobody", "secret", &[])
        .filter("ec2", &EC2_FILTER)
        .filter("openstack", &[OPENSTACK_ID])
        .filter("static", &[])
        .template("omnibus")
        .start()
        .unwrap();
    server.remove_from_provider("ec2", "gone-1");
    server.mark_in_use("ami-used", "proj.test");
    for image in [
        json!({"id": "ami-used", "provider": "ec2", "remote_user": "ec2-user", "name": "used"}),
        json!({
            "id": OPENSTACK_ID, "provider": "openstack", "remote_user": "root",
            "name": "freebsd-10.0", "bootstrap_template": "omnibus",
        }),
    ] {
        change(&server, "POST", "image", &image.to_string());
    }
    server
}

fn send(server: &DevopsServer, start: &str, headers: &str, body: &[u8]) -> Answer {
    let mut request = format!("{start} HTTP/1.1\r\n{headers}\r\n").into_bytes();
    request.extend_from_slice(body);
    Answer::parse(&exchange(&server.url(), &request))
}

/// Changes the state, and has to succeed.
fn change(server: &DevopsServer, method: &str, path: &str, body: &str) {
    let headers = format!(
        "Host: t\r\nAuthorization: Basic dXNlcjpzZWNyZXQ=\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    let start = format!("{method} /v2.0/{path}");
    let answer = send(server, &start, &headers, body.as_bytes());
    assert!(matches!(answer.status(), 200 | 201), "{path}: {answer:?}");
}

/// Replays one exchange, and lists what differs.
fn replay(server: &DevopsServer, capture: &Capture) -> Vec<String> {
    let Request {
        method,
        target,
        headers,
        body,
    } = &capture.request;
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines: String = lines.collect();
    let body = bytes(body.as_deref().unwrap_or_default());
    let announced = header(headers, "Content-Length").unwrap_or("0");
    assert_eq!(announced, body.len().to_string(), "{}", capture.name);
    let answer = send(server, &format!("{method} {target}"), &lines, &body);

    let expected = &capture.response;
    let mut differences = Vec::new();
    if answer.status() != expected.status {
        differences.push(format!("{} for {}", answer.status(), expected.status));
    }
    for name in [
        "Content-Type",
        "Content-Length",
        "WWW-Authenticate",
        "Accept",
        "X-Cascade",
    ] {
        let wanted = header(&expected.headers, name);
        let found = header(&answer.headers, name);
        // The real server closes the connection after a body without a length.
        let is_optional = name == "Content-Length" && wanted.is_none();
        if found != wanted && !is_optional {
            differences.push(format!("{name} {found:?} for {wanted:?}"));
        }
    }
    let is_equal = match (&expected.json, &expected.text) {
        (Some(wanted), _) => {
            serde_json::from_slice::<Value>(&answer.body).ok() == Some(wanted.clone())
        }
        // The captures append a newline to a text.
        (None, Some(wanted)) => Some(answer.text()) == wanted.strip_suffix('\n'),
        (None, None) => answer.body.is_empty(),
    };
    if !is_equal {
        differences.push(String::from_utf8_lossy(&answer.body).into_owned());
    }
    differences
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = headers
        .iter()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.as_str())
}

/// The captures have U+FFFD for a byte that is no UTF-8.
fn bytes(text: &str) -> Vec<u8> {
    let parts: Vec<&[u8]> = text.split('\u{fffd}').map(str::as_bytes).collect();
    parts.join(&b"\xff"[..])
}

#[test]
fn all_156_captured_exchanges_get_the_same_answers() {
    let captures = captures();
    let mut unused: BTreeMap<_, _> = captures.iter().map(|it| (&*it.name, it)).collect();
    let server = server();
    let mut equal = 0;
    let mut different = Vec::new();
    for step in SCRIPT {
        match step {
            Captured(name) => {
                let capture = unused.remove(name).unwrap_or_else(|| panic!("no {name}"));
                let differences = replay(&server, capture);
                if differences.is_empty() {
                    equal += 1;
                } else {
                    different.push(format!("{name}: {}", differences.join("; ")));
                }
            }
            Create(id) => {
                let image = json!({
                    "id": id, "provider": "ec2", "remote_user": "ec2-user", "name": "debian-12",
                });
                change(&server, "POST", "image", &image.to_string());
            }
            Put(id, record) => change(&server, "PUT", &format!("image/{id}"), record),
            Delete(id) => change(&server, "DELETE", &format!("image/{id}"), ""),
        }
    }
    assert_eq!(different, Vec::<String>::new());
    assert_eq!(unused.keys().collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!((equal, captures.len()), (156, 156));
}
