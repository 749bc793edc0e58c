use machine_images::ErrorKind;
use machine_images::devops::{ApiVersion, NewImage};
use machine_images::djinn::Client;
use machine_images::testing::{DevopsServer, DjinnServer, Fault, empty_qcow2};

#[tokio::test]
async fn the_client_of_a_djinn_server_has_its_url_and_token() {
    let server = DjinnServer::builder().base_path("ci").start().unwrap();
    let id = server.add_image("a", empty_qcow2(1 << 30)).unwrap();
    let images = server.client().unwrap().images();
    assert_eq!(images.get(id).send().await.unwrap().name, "a");
    images.delete(id).send().await.unwrap();
    assert_eq!(server.image_count(), 0);
}

#[tokio::test]
async fn a_base_url_without_the_path_of_the_api_is_an_unknown_route() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("a", empty_qcow2(1 << 30)).unwrap();
    let client = Client::builder(server.url().join("/").unwrap());
    let client = client.token(server.token()).build().unwrap();
    let images = client.images();
    let errors = [
        client.check().await.unwrap_err(),
        images.list().await.unwrap_err(),
        images.get(id).await.unwrap_err(),
        images.content(id).await.unwrap_err(),
        images.delete(id).await.unwrap_err(),
        images
            .create_upload("b", empty_qcow2(1 << 30))
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::UnknownRoute, "{error}");
    }
    assert_eq!(server.image_count(), 1);
}

#[tokio::test]
async fn the_client_of_a_devops_server_has_its_version_and_login() {
    for (version, path) in [(ApiVersion::V3, "/v3/"), (ApiVersion::V2, "/v2.0/")] {
        let server = DevopsServer::builder().api_version(version);
        let server = server.start().unwrap();
        let images = server.client().unwrap().images();
        let image = NewImage::new("ami-1", "ec2", "root", "a");
        images.create(image).send().await.unwrap();
        assert_eq!(images.get("ami-1").send().await.unwrap().name, "a");
        for request in server.requests() {
            assert!(request.path().starts_with(path), "{}", request.path());
        }
    }
}

#[tokio::test]
async fn a_fault_is_selected_by_a_method_in_any_case() {
    let server = DjinnServer::start().unwrap();
    let id = server.add_image("a", "a").unwrap();
    let images = server.client().unwrap().images();
    for unmatched in ["POST", "", "NO METHOD\n"] {
        server.inject(Fault::status(400).on(unmatched, "/images/1"));
    }
    images.get(id).send().await.unwrap();
    server.inject(Fault::status(400).on("get", "/images/1"));
    let error = images.get(id).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
}
