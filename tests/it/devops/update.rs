//! An update never erases a field that is not set, whatever the server makes of a `PUT`.

use machine_images::ErrorKind;
use machine_images::devops::Updated;
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{builder, images};

const ID: &str = "ami-1";
const WHOLE: &str = "Parameter(s) 'provider' can not be undefined";

fn record() -> Value {
    json!({
        "id": ID, "provider": "ec2", "remote_user": "ec2-user", "name": "debian",
        "bootstrap_template": "omnibus", "zone": {"letters": ["a", null]},
    })
}

fn answer(status: u16, body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

fn message(text: &str) -> Value {
    json!({"message": text})
}

/// A server that shows the record, and answers the `PUT`s one after the other.
async fn server(record: &Value, answers: &[(u16, Value)]) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(answer(200, record))
        .mount(&server)
        .await;
    for (status, body) in answers {
        Mock::given(method("PUT"))
            .respond_with(answer(*status, body))
            .up_to_n_times(1)
            .expect(1)
            .mount(&server)
            .await;
    }
    server
}

/// The requests in order: a method alone, or with the body.
async fn sent(server: &MockServer) -> Vec<(String, Option<Value>)> {
    let requests = server.received_requests().await.unwrap();
    let requests = requests.iter().map(|request| {
        assert!(request.url.path().ends_with("/image/ami-1"));
        let body = serde_json::from_slice(&request.body).ok();
        (request.method.to_string(), body)
    });
    requests.collect()
}

fn get() -> (String, Option<Value>) {
    ("GET".to_owned(), None)
}

fn put(body: Value) -> (String, Option<Value>) {
    ("PUT".to_owned(), Some(body))
}

#[tokio::test]
async fn one_field_is_sent_with_the_other_as_it_was() {
    for (user, name) in [(Some("admin"), None), (None, Some("sarge"))] {
        let server = server(&record(), &[(200, message("Updated"))]).await;
        let mut update = images(&server).update(ID);
        if let Some(user) = user {
            update = update.remote_user(user);
        }
        if let Some(name) = name {
            update = update.name(name);
        }
        update.send().await.unwrap();
        let user = user.unwrap_or("ec2-user");
        let name = name.unwrap_or("debian");
        let body = json!({"remote_user": user, "name": name});
        assert_eq!(sent(&server).await, [get(), put(body)]);
    }
}

#[tokio::test]
async fn an_empty_name_is_a_change() {
    let server = server(&record(), &[(200, message("Updated"))]).await;
    images(&server).update(ID).name("").send().await.unwrap();
    let body = json!({"remote_user": "ec2-user", "name": ""});
    assert_eq!(sent(&server).await, [get(), put(body)]);
}

#[tokio::test]
async fn a_server_that_wants_the_whole_record_gets_it() {
    for both in [false, true] {
        let answers = [(400, message(WHOLE)), (200, message("updated"))];
        let server = server(&record(), &answers).await;
        let mut update = images(&server).update(ID).name("sarge");
        let mut whole = record();
        whole["name"] = json!("sarge");
        if both {
            update = update.remote_user("admin");
            whole["remote_user"] = json!("admin");
        }

        let updated = update.send().await.unwrap();

        assert_eq!(updated.message.as_deref(), Some("updated"));
        let pair = json!({"remote_user": whole["remote_user"], "name": "sarge"});
        let requests = match both {
            true => [put(pair), get(), put(whole)],
            false => [get(), put(pair), put(whole)],
        };
        assert_eq!(sent(&server).await, requests);
    }
}

#[tokio::test]
async fn version_2_gets_the_whole_record_at_once() {
    let server = server(&record(), &[(200, message("updated"))]).await;
    let base = format!("{}/v2.0", server.uri());
    let client = machine_images::devops::Client::builder(base)
        .build()
        .unwrap();
    let update = client.images().update(ID).remote_user("admin").name("x");
    let updated = update.send().await.unwrap();
    assert_eq!(
        updated,
        serde_json::from_value::<Updated>(message("updated")).unwrap()
    );
    let mut whole = record();
    whole["remote_user"] = json!("admin");
    whole["name"] = json!("x");
    assert_eq!(sent(&server).await, [get(), put(whole)]);
}

#[tokio::test]
async fn a_template_that_there_is_not_is_left_out() {
    let mut without = record();
    without["bootstrap_template"] = Value::Null;
    let answers = [(400, message(WHOLE)), (200, message("updated"))];
    let server = server(&without, &answers).await;
    let update = images(&server).update(ID).name("x").remote_user("y");
    update.send().await.unwrap();
    let (_, body) = sent(&server).await.pop().unwrap();
    assert_eq!(body.unwrap().get("bootstrap_template"), None);
}

#[tokio::test]
async fn another_refusal_is_not_answered_with_more() {
    let refusal = "Parameter(s) 'remote_user' can not be empty";
    let server = server(&record(), &[(400, message(refusal))]).await;
    let update = images(&server).update(ID).remote_user("").name("x");
    let error = update.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.message(), Some(refusal));
    assert_eq!(sent(&server).await.len(), 1);
}

#[tokio::test]
async fn a_refused_whole_record_is_the_error() {
    let refusal = "Invalid image id 'ami-1' for provider 'ec2', please check image filters";
    let answers = [(400, message(WHOLE)), (400, message(refusal))];
    let server = server(&record(), &answers).await;
    let error = images(&server).update(ID).name("x").send().await;
    let error = error.unwrap_err();
    assert_eq!(error.message(), Some(refusal));
    assert_eq!(error.operation(), "update image");
    assert_eq!(sent(&server).await.len(), 3);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_not_written() {
    let denied = message("Access denied for 'gordon'");
    for (status, body, kind) in [
        (401, &denied, ErrorKind::Forbidden),
        (
            404,
            &message("Image 'ami-1' does not exist"),
            ErrorKind::NotFound,
        ),
        (200, &json!({"id": ID}), ErrorKind::Decode),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .respond_with(answer(status, body))
            .mount(&server)
            .await;
        let images = builder(&server).build().unwrap().images();
        let error = images.update(ID).name("x").send().await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().starts_with("update image \"ami-1\": "));
        assert_eq!(sent(&server).await, [get()]);
    }
}
