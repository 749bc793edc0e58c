use machine_images::ErrorKind;
use machine_images::djinn::{Client, Find, ImageId, Images, Source, Visibility};
use machine_images::testing::{DjinnServer, Fault, empty_qcow2};

const ELI: &str = "72bcff1345c5005f318d16466eb229d0";

fn images(server: &DjinnServer, token: &str) -> Images {
    let client = Client::builder(server.url()).token(token);
    client.build().unwrap().images()
}

/// A server where `web` is there three times, and the ids: in no namespace, in `lab`, and in
/// `lab` of another user.
fn site() -> (DjinnServer, Images, [ImageId; 3]) {
    let server = DjinnServer::builder().user("eli", ELI).start().unwrap();
    server.add_namespace("lab@eli", Visibility::Public).unwrap();
    // First, so that it would be found first.
    let theirs = server.new_image("web").author("eli").namespace("lab");
    let theirs = theirs.add().unwrap();
    let lab = server.new_image("web").namespace("lab").add().unwrap();
    let own = server.new_image("web").add().unwrap();
    let images = images(&server, server.token());
    (server, images, [own, lab, theirs])
}

fn in_namespace(find: Find, namespace: Option<&str>) -> Find {
    match namespace {
        Some(namespace) => find.namespace(namespace.parse().unwrap()),
        None => find,
    }
}

#[tokio::test]
async fn a_name_is_found_where_it_is_looked_for() {
    let (_server, images, [own, lab, theirs]) = site();
    for (namespace, id, owner) in [
        (None, own, "tester"),
        (Some("lab"), lab, "tester"),
        (Some("lab@tester"), lab, "tester"),
        (Some("lab@eli"), theirs, "eli"),
    ] {
        let find = in_namespace(images.find("web"), namespace);

        let image = find.send().await.unwrap().unwrap();

        assert_eq!(image.id, id, "{namespace:?}");
        // All of it, which the list of a namespace does not have.
        assert_eq!(image.user.unwrap().username, owner, "{namespace:?}");
        assert_eq!(image.namespace.is_some(), namespace.is_some());
    }
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let (server, images, _) = site();
    server.new_image("a-b").add().unwrap();
    server.new_image("a-b").namespace("lab").add().unwrap();
    server
        .new_image("elsewhere")
        .namespace("lab")
        .add()
        .unwrap();
    server.new_image("shared").author("eli").add().unwrap();
    for (name, namespace) in [
        // SQL's wildcards are letters here.
        ("a_b", None),
        ("a_b", Some("lab")),
        ("%", None),
        ("a-B", Some("lab")),
        ("a", Some("lab")),
        ("elsewhere", None),
        ("shared", None),
        ("web", Some("nowhere")),
        ("web", Some("lab/kernels")),
        ("web", Some("lab@nobody")),
    ] {
        let find = in_namespace(images.find(name), namespace);

        let found = find.send().await.unwrap();

        assert_eq!(found, None, "{name} {namespace:?}");
    }
}

#[tokio::test]
async fn a_private_namespace_is_found_by_those_who_may_list_it() {
    let server = DjinnServer::builder().user("eli", ELI).start().unwrap();
    server.add_namespace("lab", Visibility::Private).unwrap();
    let id = server.new_image("web").namespace("lab").add().unwrap();
    let find = || {
        let images = images(&server, ELI);
        in_namespace(images.find("web"), Some("lab@tester")).send()
    };

    assert_eq!(find().await.unwrap(), None);
    server.add_collaborator("lab", "eli").unwrap();
    assert_eq!(find().await.unwrap().unwrap().id, id);
}

#[tokio::test]
async fn an_image_of_the_user_is_found_where_the_token_may_list_nothing_else() {
    let server = DjinnServer::builder().scoped_token("5c0ped", &["image:read"]);
    let server = server.start().unwrap();
    server.add_namespace("lab", Visibility::Private).unwrap();
    let id = server.new_image("web").namespace("lab").add().unwrap();
    server.new_image("web").namespace("other").add().unwrap();
    for namespace in ["lab", "lab@tester"] {
        let find = in_namespace(images(&server, "5c0ped").find("web"), Some(namespace));
        assert_eq!(find.await.unwrap().unwrap().id, id);
    }
    let blind = DjinnServer::builder().scoped_token("b1ind", &[]);
    let blind = blind.start().unwrap();
    let find = in_namespace(images(&blind, "b1ind").find("web"), Some("lab"));
    let error = find.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFoundOrUnauthorized);
}

#[tokio::test]
async fn a_bad_token_is_an_error_and_not_none() {
    let (server, ..) = site();
    for namespace in [None, Some("lab"), Some("nowhere@eli")] {
        let find = images(&server, "bad").find("web");

        let error = in_namespace(find, namespace).send().await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{namespace:?}");
        assert!(error.to_string().starts_with("find image \"web\": "));
    }
}

#[tokio::test]
async fn a_name_is_found_on_a_later_page() {
    let server = DjinnServer::start().unwrap();
    server.add_images(60).unwrap();
    let id = server.add_image("zebra", "").unwrap();

    let found = images(&server, server.token()).find("zebra").send().await;

    assert_eq!(found.unwrap().unwrap().id, id);
}

#[tokio::test]
async fn a_name_is_found_in_one_of_two_namespaces_with_the_same_path() {
    let (_server, images, [_, lab, _]) = site();
    // Which makes a second `lab`.
    let image = empty_qcow2(1 << 20);
    let deep = images.create_upload("deep", Source::from(image));
    let deep = deep.namespace("lab/deep".parse().unwrap()).await.unwrap();
    let list = images.list().namespace("lab@tester".parse().unwrap());
    assert_eq!(list.await.unwrap_err().status(), Some(500));
    for (name, namespace, id) in [
        ("web", "lab", Some(lab)),
        ("web", "lab@tester", Some(lab)),
        ("deep", "lab", None),
        ("deep", "lab/deep", Some(deep.id)),
    ] {
        let found = in_namespace(images.find(name), Some(namespace)).await;

        let found = found.unwrap().map(|image| image.id);
        assert_eq!(found, id, "{name} {namespace}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_list_a_namespace_does_not_mean_that_there_is_nothing() {
    let (server, images_of_tester, _) = site();
    let find = || in_namespace(images_of_tester.find("web"), Some("lab@eli")).send();
    server.inject(Fault::status(500).on("GET", "/-/images"));
    let error = find().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::Server, Some(500))
    );

    let deep = Source::from(empty_qcow2(1 << 20));
    let deep = images(&server, ELI).create_upload("deep", deep);
    deep.namespace("lab/deep".parse().unwrap()).await.unwrap();
    let error = find().await.unwrap_err();
    assert!(
        error.message().unwrap().contains("more than one row"),
        "{error:?}"
    );
}
