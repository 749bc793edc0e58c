//! Where the API is.

use machine_images::ErrorKind;
use machine_images::devops::{ApiVersion, Client, NewImage};
use machine_images::testing::DevopsServer;
use wiremock::MockServer;

use super::{answering_json, only_request};

/// The path of a list, or the error's text.
async fn path(suffix: &str, version: Option<ApiVersion>) -> Result<String, String> {
    let server = answering_json(200, "[]").await;
    let mut builder = Client::builder(format!("{}{suffix}", server.uri()));
    if let Some(version) = version {
        builder = builder.api_version(version);
    }
    match builder.build() {
        Ok(client) => {
            client.images().list().await.unwrap();
            Ok(only_request(&server).await.call)
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_unasked(&server).await;
            Err(error.to_string())
        }
    }
}

/// Nothing came, though the server expects a request.
async fn assert_unasked(server: &MockServer) {
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
    server.reset().await;
}

#[tokio::test]
async fn a_base_that_names_a_version_is_used_as_it_is() {
    for (suffix, version, call) in [
        ("", None, "GET /v3/images"),
        ("/", None, "GET /v3/images"),
        ("/v3", None, "GET /v3/images"),
        ("/v3/", None, "GET /v3/images"),
        ("/v2.0", None, "GET /v2.0/images"),
        ("/v2.0//", None, "GET /v2.0/images"),
        ("/devops/v2.0", None, "GET /devops/v2.0/images"),
        ("/v3/devops", None, "GET /v3/devops/v3/images"),
        ("/v2", None, "GET /v2/v3/images"),
        ("/xv3", None, "GET /xv3/v3/images"),
        ("", Some(ApiVersion::V2), "GET /v2.0/images"),
        ("/devops/", Some(ApiVersion::V2), "GET /devops/v2.0/images"),
        ("/v2.0", Some(ApiVersion::V2), "GET /v2.0/images"),
        ("", Some(ApiVersion::V3), "GET /v3/images"),
        ("/v3", Some(ApiVersion::V3), "GET /v3/images"),
    ] {
        assert_eq!(path(suffix, version).await.as_deref(), Ok(call));
    }
}

#[tokio::test]
async fn a_base_that_names_another_version_is_refused() {
    for (suffix, version, why) in [
        ("/v3", ApiVersion::V2, "/v3, but the API version is v2.0"),
        ("/v2.0/", ApiVersion::V3, "/v2.0, but the API version is v3"),
    ] {
        let error = path(suffix, Some(version)).await.unwrap_err();
        let expected = format!("build client: the base URL ends in {why}");
        assert_eq!(error, expected);
    }
}

fn v2() -> (DevopsServer, String) {
    let server = DevopsServer::builder()
        .api_version(ApiVersion::V2)
        .start()
        .unwrap();
    let base = format!("{}v2.0", server.url());
    (server, base)
}

#[tokio::test]
async fn an_id_that_leads_version_2_elsewhere_is_not_sent() {
    let (server, base) = v2();
    server.add_image("ami-1", "ec2", "ec2-user", "debian");
    let (user, password) = server.login();
    let client = Client::builder(base).basic(user, password);
    let images = client.build().unwrap().images();
    for id in [
        "x/../ami-1",
        "/ami-1",
        "./ami-1",
        "x\\..\\ami-1",
        "../images",
        "a//b",
    ] {
        for error in [
            images.get(id).send().await.map(drop),
            images
                .update(id)
                .name("x")
                .remote_user("y")
                .send()
                .await
                .map(drop),
            images.delete(id).send().await.map(drop),
            images
                .create(NewImage::new(id, "docker", "root", "x"))
                .await
                .map(drop),
        ] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{id}");
            assert!(error.to_string().contains(&format!("{id:?}: ")), "{error}");
        }
    }
    assert_eq!(server.requests().len(), 0);
    // These lead nowhere, and the server says so.
    for id in ["a/b", "a\\b"] {
        let error = images.get(id).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownRoute, "{id}");
    }
    for id in ["..x", "a..b", "a%2F..%2Fb"] {
        let error = images.get(id).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{id}");
    }
    assert_eq!(server.images().len(), 1);
}
