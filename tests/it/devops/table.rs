//! Every call of the written API, and what is known of version 2: the request to the letter, and
//! the typed answer.

use futures::TryStreamExt;
use machine_images::ErrorKind;
use machine_images::devops::{Image, NewImage};
use serde_json::json;

use super::{answering_json, assert_sent, images};

const ID: &str = "ami-63071b0a";
const V3_IMAGE: &str =
    r#"{"id":"ami-63071b0a","provider":"ec2","remote_user":"ec2-user","name":"debian-12"}"#;
const V2_IMAGE: &str = r#"{"bootstrap_template":"omnibus","id":"ami-63071b0a","name":"","provider":"ec2","remote_user":"ec2-user"}"#;

fn assert_v3(image: &Image) {
    assert_eq!(image.id, ID);
    assert_eq!(image.provider, "ec2");
    assert_eq!(image.remote_user, "ec2-user");
    assert_eq!(image.name, "debian-12");
    assert_eq!(image.bootstrap_template, None);
    assert!(image.extra.is_empty());
}

fn assert_v2(image: &Image) {
    assert_eq!(image.id, ID);
    assert_eq!(image.provider, "ec2");
    assert_eq!(image.remote_user, "ec2-user");
    assert_eq!(image.name, "");
    assert_eq!(image.bootstrap_template.as_deref(), Some("omnibus"));
    assert!(image.extra.is_empty());
}

#[tokio::test]
async fn list_as_documented() {
    let server = answering_json(200, &format!("[{V3_IMAGE}]")).await;
    let list = images(&server).list().await.unwrap();
    assert_sent(&server, "GET /v3/images", None).await;
    assert_eq!(list.len(), 1);
    assert_v3(&list[0]);
}

#[tokio::test]
async fn list_in_the_manner_of_version_2() {
    let server = answering_json(200, &format!("[{V2_IMAGE}]")).await;
    let list = images(&server).list().await.unwrap();
    assert_sent(&server, "GET /v3/images", None).await;
    assert_eq!(list.len(), 1);
    assert_v2(&list[0]);
}

#[tokio::test]
async fn list_of_nothing() {
    let server = answering_json(200, "[]").await;
    assert_eq!(images(&server).list().await.unwrap(), []);
    assert_sent(&server, "GET /v3/images", None).await;
}

#[tokio::test]
async fn list_of_a_provider() {
    let server = answering_json(200, &format!("[{V2_IMAGE}]")).await;
    let list = images(&server).list().provider("ec2").await.unwrap();
    assert_sent(&server, "GET /v3/images?provider=ec2", None).await;
    assert_v2(&list[0]);
}

#[tokio::test]
async fn a_provider_stays_one_parameter() {
    let server = answering_json(200, "[]").await;
    let list = images(&server).list().provider("a&b=c d#é");
    assert!(list.await.unwrap().is_empty());
    let call = "GET /v3/images?provider=a%26b%3Dc+d%23%C3%A9";
    assert_sent(&server, call, None).await;
}

#[tokio::test]
async fn the_stream_has_what_the_list_has_and_asks_once() {
    let server = answering_json(200, &format!("[{V3_IMAGE},{V3_IMAGE}]")).await;
    let stream = images(&server).list().provider("ec2").stream();
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
    let list: Vec<Image> = stream.try_collect().await.unwrap();
    assert_sent(&server, "GET /v3/images?provider=ec2", None).await;
    assert_eq!(list.len(), 2);
    assert_v3(&list[1]);
}

#[tokio::test]
async fn show_as_documented() {
    let server = answering_json(200, V3_IMAGE).await;
    let image = images(&server).get(ID).send().await.unwrap();
    assert_sent(&server, "GET /v3/image/ami-63071b0a", None).await;
    assert_v3(&image);
}

#[tokio::test]
async fn show_in_the_manner_of_version_2() {
    let server = answering_json(200, V2_IMAGE).await;
    let image = images(&server).get(ID).send().await.unwrap();
    assert_sent(&server, "GET /v3/image/ami-63071b0a", None).await;
    assert_v2(&image);
}

#[tokio::test]
async fn create_as_documented() {
    let server = answering_json(200, r#"{"id":"ami-63071b0a","message":"Created"}"#).await;
    let image = NewImage::new(ID, "ec2", "ec2-user", "debian-12");
    let created = images(&server).create(image).send().await.unwrap();
    assert_sent(&server, "POST /v3/image", Some(V3_IMAGE)).await;
    assert_eq!(created.id, ID);
    assert_eq!(created.message.as_deref(), Some("Created"));
    assert!(created.extra.is_empty());
}

#[tokio::test]
async fn create_in_the_manner_of_version_2() {
    let server = answering_json(201, r#"{"message":"Created"}"#).await;
    let image = NewImage::new(ID, "ec2", "ec2-user", "").bootstrap_template("omnibus");
    let created = images(&server).create(image).send().await.unwrap();
    let body = r#"{"id":"ami-63071b0a","provider":"ec2","remote_user":"ec2-user","name":"","bootstrap_template":"omnibus"}"#;
    assert_sent(&server, "POST /v3/image", Some(body)).await;
    assert_eq!(created.id, ID);
    assert_eq!(created.message.as_deref(), Some("Created"));
}

#[tokio::test]
async fn create_sends_what_the_crate_does_not_know() {
    let server = answering_json(200, r#"{"id":"x","message":"Created","tag":1}"#).await;
    let mut image = NewImage::new("x", "p", "u", "n");
    image.extra.insert("zone".to_owned(), json!(["a", 2]));
    let created = images(&server).create(image).send().await.unwrap();
    let body = r#"{"id":"x","provider":"p","remote_user":"u","name":"n","zone":["a",2]}"#;
    assert_sent(&server, "POST /v3/image", Some(body)).await;
    assert_eq!(created.extra["tag"], 1);
}

#[tokio::test]
async fn update_as_documented() {
    let answer = format!(r#"{{"image":{V3_IMAGE},"message":"Updated"}}"#);
    let server = answering_json(200, &answer).await;
    let update = images(&server).update(ID);
    let update = update.name("debian-12").remote_user("ec2-user");
    let updated = update.send().await.unwrap();
    let body = r#"{"remote_user":"ec2-user","name":"debian-12"}"#;
    assert_sent(&server, "PUT /v3/image/ami-63071b0a", Some(body)).await;
    assert_v3(&updated.image.unwrap());
    assert_eq!(updated.message.as_deref(), Some("Updated"));
    assert!(updated.extra.is_empty());
}

#[tokio::test]
async fn an_update_of_nothing_is_not_sent() {
    let server = wiremock::MockServer::start().await;
    let error = images(&server).update(ID).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        "update image \"ami-63071b0a\": neither a remote user nor a name is set"
    );
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn delete_as_documented() {
    let server = answering_json(200, r#"{"id":"ami-63071b0a","message":"Deleted"}"#).await;
    images(&server).delete(ID).send().await.unwrap();
    assert_sent(&server, "DELETE /v3/image/ami-63071b0a", None).await;
}

#[tokio::test]
async fn delete_in_the_manner_of_version_2() {
    let answer = r#"{"message":"Image 'ami-63071b0a' has been removed"}"#;
    let server = answering_json(200, answer).await;
    images(&server).delete(ID).send().await.unwrap();
    assert_sent(&server, "DELETE /v3/image/ami-63071b0a", None).await;
}
