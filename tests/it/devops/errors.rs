//! What a refusal becomes, whichever call it is the answer to.

use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use machine_images::devops::{Client, ClientBuilder, Images, NewImage};
use machine_images::{Error, ErrorKind, Result, RetryPolicy};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{answering, images};

const JSON: &str = "application/json";
const HTML: &str = "<html><body><h1>Sign in</h1></body></html>";

/// Every call, by name.
fn calls(images: &Images) -> [(&'static str, BoxFuture<'static, Result<()>>); 6] {
    let new = NewImage::new("ami-1", "ec2", "ec2-user", "debian");
    let (list, stream) = (images.list().all(), images.list().stream());
    let (get, create) = (images.get("ami-1").send(), images.create(new).send());
    let update = images.update("ami-1").name("x").remote_user("y").send();
    let delete = images.delete("ami-1").send();
    let streamed = stream.collect::<Vec<_>>().map(|mut items| {
        assert_eq!(items.len(), 1);
        items.remove(0).map(drop)
    });
    [
        ("list images", list.map(|answer| answer.map(drop)).boxed()),
        ("list images", streamed.boxed()),
        ("get image", get.map(|answer| answer.map(drop)).boxed()),
        (
            "create image",
            create.map(|answer| answer.map(drop)).boxed(),
        ),
        (
            "update image",
            update.map(|answer| answer.map(drop)).boxed(),
        ),
        (
            "delete image",
            delete.map(|answer| answer.map(drop)).boxed(),
        ),
    ]
}

/// The error of every call, each on a server of its own that gives this answer once.
async fn errors(status: u16, content_type: &str, body: &str) -> Vec<(Error, MockServer)> {
    let mut errors = Vec::new();
    for call in 0..6 {
        let server = answering(status, content_type, body).await;
        let mut calls = calls(&images(&server)).into_iter();
        let (operation, answer) = calls.nth(call).unwrap();
        let error = answer.await.unwrap_err();
        assert_eq!(error.operation(), operation);
        assert_eq!(error.attempts(), 1);
        assert!(error.url().unwrap().starts_with(&server.uri()));
        errors.push((error, server));
    }
    errors
}

/// Asserts kind, status and message of every call's error, and what it shows of them.
async fn assert_refused(
    (status, content_type, body): (u16, &str, &str),
    kind: ErrorKind,
    message: Option<&str>,
    shown: &str,
) {
    for (error, _server) in errors(status, content_type, body).await {
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.status(), Some(status), "{error}");
        assert_eq!(error.message(), message, "{error}");
        assert_eq!(error.fields(), None);
        let operation = match error.operation() {
            "list images" => "list images".to_owned(),
            operation => format!("{operation} \"ami-1\""),
        };
        assert_eq!(error.to_string(), format!("{operation}: {shown}"));
    }
}

#[tokio::test]
async fn an_invalid_record() {
    let message = "Parameter 'name' must be a string";
    let body = format!(r#"{{"message":"{message}"}}"#);
    let shown = format!("400 Bad Request: {message}");
    assert_refused(
        (400, JSON, &body),
        ErrorKind::Rejected,
        Some(message),
        &shown,
    )
    .await;
}

#[tokio::test]
async fn an_image_in_use_is_told_by_the_servers_words() {
    let message = "Deleting is forbidden: Image is used in 'prod'";
    let server = answering(400, JSON, &format!(r#"{{"message":"{message}"}}"#)).await;
    let error = images(&server).delete("ami-1").send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.status(), Some(400));
    assert_eq!(error.message(), Some(message));
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_bad_login() {
    let shown = "the user or the password is wrong (401 Unauthorized)";
    let answer = (401, "text/plain", "");
    assert_refused(answer, ErrorKind::Unauthorized, None, shown).await;
}

/// The error of a list on a server that answers so, with or without a challenge, to this login.
async fn refused_list(
    (status, body, challenge): (u16, &str, Option<&str>),
    login: impl FnOnce(ClientBuilder<Client>) -> ClientBuilder<Client>,
) -> Error {
    let server = MockServer::start().await;
    let mut answer = ResponseTemplate::new(status).set_body_raw(body, "text/plain");
    if let Some(challenge) = challenge {
        answer = answer.insert_header("WWW-Authenticate", challenge);
    }
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let builder = Client::builder(server.uri()).retry(RetryPolicy::none());
    let images = login(builder).build().unwrap().images();
    images.list().await.unwrap_err()
}

#[tokio::test]
async fn a_login_that_is_refused_is_named() {
    let challenge = Some("Basic realm=\"\"");
    let basic = refused_list((401, "", challenge), |builder| builder.basic("u", "p")).await;
    let token = refused_list((401, "", None), |builder| builder.token("t0k3n")).await;
    let wants_basic = refused_list((401, "", challenge), |builder| builder.token("t0k3n")).await;
    let only_basic = refused_list((400, "", None), |builder| builder.token("t0k3n")).await;
    let nobody = refused_list((401, "", challenge), |builder| builder).await;
    for (error, shown) in [
        (
            basic,
            "the user or the password is wrong (401 Unauthorized)",
        ),
        (token, "the token is refused (401 Unauthorized)"),
        (
            wants_basic,
            "the token is refused; the server asks for a user and a password (HTTP Basic) \
             (401 Unauthorized)",
        ),
        (
            only_basic,
            "the server accepts no token, only a user and a password (HTTP Basic) (400 Bad Request)",
        ),
        (
            nobody,
            "the server requires a login, and none is set (401 Unauthorized)",
        ),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert_eq!(error.to_string(), format!("list images: {shown}"));
    }
}

#[tokio::test]
async fn a_400_that_is_no_refused_token_stays_rejected() {
    let login = |builder: ClientBuilder<Client>| builder.basic("u", "p");
    let error = refused_list((400, "", None), login).await;
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let login = |builder: ClientBuilder<Client>| builder.token("t0k3n");
    let error = refused_list((400, "Bad Request", None), login).await;
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.to_string(), "list images: 400 Bad Request");
}

#[tokio::test]
async fn a_missing_privilege_is_named() {
    let message = "Access denied for 'gordon'";
    let body = format!(r#"{{"message":"{message}"}}"#);
    for (error, _server) in errors(401, JSON, &body).await {
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        assert_eq!(error.message(), Some(message));
        let privilege = match error.operation() {
            "list images" | "get image" => "read_images",
            "delete image" => "delete_image",
            _ => "create_image",
        };
        let shown = format!("the login lacks {privilege} (401 Unauthorized): {message}");
        assert!(error.to_string().ends_with(&shown), "{error}");
    }
}

#[tokio::test]
async fn a_challenge_with_words_is_a_bad_login() {
    let login = |builder: ClientBuilder<Client>| builder.basic("u", "p");
    let body = r#"{"message":"Access denied"}"#;
    let error = refused_list((401, body, Some("Basic")), login).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(error.message(), Some("Access denied"));
}

#[tokio::test]
async fn an_unknown_image() {
    let message = "Image 'ami-1' does not exist";
    let body = format!(r#"{{"message":"{message}"}}"#);
    let shown = format!("404 Not Found: {message}");
    assert_refused(
        (404, JSON, &body),
        ErrorKind::NotFound,
        Some(message),
        &shown,
    )
    .await;
}

#[tokio::test]
async fn an_unknown_provider() {
    let message = "Invalid provider 'x'";
    let words = format!(": {message}");
    for (body, message, shown) in [
        (r#"{"message":"Invalid provider 'x'"}"#, message, &*words),
        // In version 2 the body is no JSON, whatever it says.
        ("Not found", "Not found", ""),
    ] {
        let server = answering(404, "application/json;charset=utf-8", body).await;
        let error = images(&server).list().provider("x").await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.message(), Some(message));
        let shown = format!("list images: no such provider: \"x\" (404 Not Found){shown}");
        assert_eq!(error.to_string(), shown);
    }
}

#[tokio::test]
async fn an_unknown_route() {
    let shown = "no such route: is the base URL right? (404 Not Found)";
    for (content_type, body, message) in [
        ("text/plain", "Not found", Some("Not found")),
        ("text/html", HTML, None),
        (JSON, "Not found", Some("Not found")),
        (JSON, r#"{"detail":"Not Found"}"#, None),
        ("text/plain", "", None),
    ] {
        let answer = (404, content_type, body);
        assert_refused(answer, ErrorKind::UnknownRoute, message, shown).await;
    }
    let server = answering(404, "text/html", HTML).await;
    let error = images(&server).list().provider("x").await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::UnknownRoute);
}

#[tokio::test]
async fn an_id_with_a_slash_that_finds_no_route() {
    for id in ["a/b", "a\\b", "/a", "a/"] {
        let server = answering(404, "text/html", "<h1>Not Found</h1>").await;
        let error = images(&server).get(id).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownRoute);
        let shown = "no such route: version 2 cannot address an id with a slash or backslash; \
                     is the base URL right? (404 Not Found)";
        assert_eq!(error.to_string(), format!("get image {id:?}: {shown}"));
    }
    // A literal `%2F` is no slash.
    let server = answering(404, "text/html", "<h1>Not Found</h1>").await;
    let error = images(&server).get("a%2Fb").send().await.unwrap_err();
    let shown = "no such route: is the base URL right? (404 Not Found)";
    assert!(error.to_string().ends_with(shown), "{error}");
}

#[tokio::test]
async fn an_id_that_exists() {
    let message = "Duplicate key error: image with id 'ami-1'";
    let body = format!(r#"{{"message":"{message}"}}"#);
    for status in [400, 409, 422] {
        let server = answering(status, JSON, &body).await;
        let new = NewImage::new("ami-1", "ec2", "ec2-user", "debian");
        let error = images(&server).create(new).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NameTaken);
        assert_eq!(error.message(), Some(message));
        let shown = "create image \"ami-1\": an id must be unique: \"ami-1\" exists already (";
        assert!(error.to_string().starts_with(shown), "{error}");
        assert!(error.to_string().ends_with(message), "{error}");
    }
}

#[tokio::test]
async fn a_refused_accept_header() {
    let message = "Accept header should contain 'application/json' type";
    let body = format!(r#"{{"message":"{message}"}}"#);
    let kind = ErrorKind::UnexpectedStatus;
    let shown = format!("406 Not Acceptable: {message}");
    assert_refused((406, JSON, &body), kind, Some(message), &shown).await;
}

#[tokio::test]
async fn a_refused_content_type() {
    let message = "Content-Type should be equal to 'application/json'";
    let body = format!(r#"{{"message":"{message}"}}"#);
    let kind = ErrorKind::UnexpectedStatus;
    let shown = format!("415 Unsupported Media Type: {message}");
    assert_refused((415, JSON, &body), kind, Some(message), &shown).await;
}

#[tokio::test]
async fn a_failed_server() {
    let body = r#"{"message":"Mongo::ConnectionFailure"}"#;
    let message = Some("Mongo::ConnectionFailure");
    let shown = "500 Internal Server Error: Mongo::ConnectionFailure";
    assert_refused((500, JSON, body), ErrorKind::Server, message, shown).await;
    for (error, _server) in errors(500, JSON, body).await {
        assert!(!error.is_retryable(), "the service itself has refused it");
    }
}

#[tokio::test]
async fn a_failed_server_without_words() {
    let shown = "500 Internal Server Error";
    assert_refused((500, "text/plain", ""), ErrorKind::Server, None, shown).await;
}

#[tokio::test]
async fn the_html_of_a_proxy() {
    for (status, kind, shown) in [
        (401, ErrorKind::Unauthorized, "401 Unauthorized"),
        (403, ErrorKind::Forbidden, "403 Forbidden"),
        (503, ErrorKind::Server, "503 Service Unavailable"),
    ] {
        assert_refused((status, "text/html", HTML), kind, None, shown).await;
    }
}

#[tokio::test]
async fn html_that_pretends_to_be_a_success() {
    for (error, _server) in errors(200, "text/html; charset=utf-8", HTML).await {
        assert_eq!(error.kind(), ErrorKind::UnexpectedContent);
        assert_eq!(error.status(), None);
        assert!(error.to_string().contains("the response is text/html"));
    }
}

#[tokio::test]
async fn json_that_is_not_the_apis() {
    for body in [r#"{"id":"ami"#, "", "17", r#""Created""#, "null"] {
        for (error, _server) in errors(200, JSON, body).await {
            assert_eq!(error.kind(), ErrorKind::Decode, "{body}: {error}");
            assert_eq!(error.status(), None);
        }
    }
}

#[tokio::test]
async fn no_id_leads_elsewhere() {
    let server = MockServer::start().await;
    let images = images(&server);
    for id in ["", ".", ".."] {
        let new = NewImage::new(id, "ec2", "ec2-user", "debian");
        for error in [
            images.get(id).send().await.map(drop),
            images.create(new).send().await.map(drop),
            images.update(id).name("x").send().await.map(drop),
            images.delete(id).send().await.map(drop),
        ] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.attempts(), 0);
        }
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}
