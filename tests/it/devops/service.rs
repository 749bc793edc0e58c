//! From end to end: on embedded servers of both versions, or on a real one that `DEVOPS_SERVER`
//! names, with its credentials as for `Client::from_env` and a provider in `DEVOPS_PROVIDER` if
//! it does not know `ec2`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use machine_images::devops::{ApiVersion, Client, Image, Images, NewImage};
use machine_images::testing::{AccessPolicy, Close, DevopsServer, Fault};
use machine_images::{ErrorKind, RetryPolicy};

fn of(server: &DevopsServer, user: &str, password: &str) -> Images {
    below(server, "", user, password)
}

/// A client of a base URL with this end.
fn below(server: &DevopsServer, end: &str, user: &str, password: &str) -> Images {
    let policy = RetryPolicy::default().first_delay(Duration::from_millis(1));
    let base = format!("{}{end}", server.url());
    let client = Client::builder(base).basic(user, password);
    client.retry(policy).build().unwrap().images()
}

fn embedded(version: ApiVersion) -> (DevopsServer, Images) {
    let server = DevopsServer::builder().api_version(version);
    let server = server.start().unwrap();
    let (user, password) = server.login();
    let images = of(&server, user, password);
    (server, images)
}

/// The services to be tried. An embedded one lives as long as what comes with it.
fn services() -> Vec<(Option<DevopsServer>, Images)> {
    if std::env::var_os("DEVOPS_SERVER").is_some() {
        return vec![(None, Client::from_env().unwrap().images())];
    }
    let (v2, _) = embedded(ApiVersion::V2);
    let (user, password) = v2.login();
    let of_v2 = below(&v2, "v2.0", user, password);
    let (v3, of_v3) = embedded(ApiVersion::V3);
    // A server of version 2 on the paths of version 3.
    let (between, of_between) = embedded(ApiVersion::V2);
    vec![
        (Some(v3), of_v3),
        (Some(v2), of_v2),
        (Some(between), of_between),
    ]
}

fn provider() -> String {
    std::env::var("DEVOPS_PROVIDER").unwrap_or_else(|_| "ec2".to_owned())
}

/// An id that nobody else has.
fn fresh(suffix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("machine-images-{}-{count}{suffix}", std::process::id())
}

fn new(id: &str) -> NewImage {
    NewImage::new(id, provider(), "ec2-user", "debian-12")
}

fn find(list: Vec<Image>, id: &str) -> Option<Image> {
    list.into_iter().find(|image| image.id == id)
}

#[tokio::test]
async fn the_life_of_an_image() {
    for (_server, images) in services() {
        let id = fresh("");
        let created = images.create(new(&id)).send().await.unwrap();
        assert_eq!(created.id, id.as_str());
        assert_eq!(created.message.as_deref(), Some("Created"));

        let shown = images.get(&*id).send().await.unwrap();
        assert_eq!(shown.id, id.as_str());
        assert_eq!(shown.provider, provider());
        assert_eq!(shown.remote_user, "ec2-user");
        assert_eq!(shown.name, "debian-12");

        let listed = images.list().await.unwrap();
        assert_eq!(find(listed, &id), Some(shown.clone()));
        let of_provider = images.list().provider(provider()).stream();
        let of_provider = of_provider.try_collect().await.unwrap();
        assert_eq!(find(of_provider, &id), Some(shown));

        let update = images.update(&*id).name("debian-13");
        let updated = update.send().await.unwrap();
        assert!(updated.image.is_none_or(|image| image.name == "debian-13"));
        let shown = images.get(&*id).send().await.unwrap();
        assert_eq!(
            (&*shown.remote_user, &*shown.name),
            ("ec2-user", "debian-13")
        );
        images
            .update(&*id)
            .remote_user("admin")
            .send()
            .await
            .unwrap();
        let shown = images.get(&*id).send().await.unwrap();
        assert_eq!((&*shown.remote_user, &*shown.name), ("admin", "debian-13"));

        images.delete(&*id).send().await.unwrap();
        let error = images.get(&*id).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let listed = images.list().await.unwrap();
        assert_eq!(find(listed, &id), None);
    }
}

#[tokio::test]
async fn an_update_erases_nothing() {
    let (v2, v3) = (ApiVersion::V2, ApiVersion::V3);
    for (version, end) in [(v3, ""), (v2, ""), (v2, "v2.0")] {
        let server = DevopsServer::builder().api_version(version);
        let server = server.template("omnibus").start().unwrap();
        let (user, password) = server.login();
        let images = below(&server, end, user, password);
        let image = new("ami-1").bootstrap_template("omnibus");
        images.create(image).send().await.unwrap();

        images.update("ami-1").name("sarge").send().await.unwrap();
        let update = images.update("ami-1").remote_user("admin");
        update.send().await.unwrap();

        let image = images.get("ami-1").send().await.unwrap();
        assert_eq!((&*image.provider, &*image.remote_user), ("ec2", "admin"));
        assert_eq!(image.name, "sarge");
        assert_eq!(image.bootstrap_template.as_deref(), Some("omnibus"));
    }
}

#[tokio::test]
async fn an_id_may_have_any_character_but_a_slash() {
    for (_server, images) in services() {
        let id = fresh(" b..c?d#e%2F:@;+й");
        images.create(new(&id)).send().await.unwrap();
        assert_eq!(images.get(&*id).send().await.unwrap().id, id.as_str());
        images.delete(&*id).send().await.unwrap();
    }
}

#[tokio::test]
async fn an_id_may_be_a_path_in_version_3() {
    let (_server, images) = embedded(ApiVersion::V3);
    let id = "a/b/../c";
    images.create(new(id)).send().await.unwrap();
    assert_eq!(images.get(id).send().await.unwrap().id, id);
    images.delete(id).send().await.unwrap();
}

#[tokio::test]
async fn version_2_creates_an_id_with_a_slash_and_does_not_find_it() {
    let (server, images) = embedded(ApiVersion::V2);
    images.create(new("a/b")).send().await.unwrap();
    for answer in [
        images.get("a/b").send().await.map(drop),
        images.update("a/b").name("x").send().await.map(drop),
        images.delete("a/b").send().await.map(drop),
    ] {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownRoute);
        assert!(error.to_string().contains("an id with a slash"), "{error}");
    }
    assert_eq!(server.images().len(), 1);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    for (_server, images) in services() {
        let id = fresh("");
        for answer in [
            images.get(&*id).send().await.map(drop),
            images.update(&*id).name("x").send().await.map(drop),
            images.delete(&*id).send().await.map(drop),
            images.list().provider(&*id).await.map(drop),
        ] {
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.message().is_some());
        }
    }
}

#[tokio::test]
async fn what_the_service_does_not_take_is_rejected() {
    for (_server, images) in services() {
        let id = fresh("");
        let mut image = new(&id);
        image.provider = "no-such-provider".to_owned();
        let error = images.create(image).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        images.create(new(&id)).send().await.unwrap();
        let error = images.create(new(&id)).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NameTaken);
        images.delete(&*id).send().await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_login_is_unauthorized() {
    let (server, _) = embedded(ApiVersion::V3);
    let error = of(&server, "root", "wrong").list().await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unauthorized);
}

#[tokio::test]
async fn a_password_may_be_empty_or_have_any_letters() {
    for version in [ApiVersion::V3, ApiVersion::V2] {
        let server = DevopsServer::builder()
            .api_version(version)
            .user("nopass", "", &AccessPolicy::ALL)
            .user("müller", "geheim-ß", &AccessPolicy::ALL)
            .start()
            .unwrap();
        for (user, password) in [("nopass", ""), ("müller", "geheim-ß")] {
            let list = of(&server, user, password).list();
            assert!(list.await.unwrap().is_empty());
        }
        let error = of(&server, "root", "").list().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
    }
}

#[tokio::test]
async fn a_token_is_taken_by_version_3_alone() {
    for version in [ApiVersion::V3, ApiVersion::V2] {
        let server = DevopsServer::builder()
            .api_version(version)
            .token("t0k3n", &AccessPolicy::ALL)
            .start()
            .unwrap();
        let client = Client::builder(server.url()).token("t0k3n");
        let answer = client.build().unwrap().images().list().await;
        if let Err(error) = &answer {
            assert_eq!(error.kind(), ErrorKind::Unauthorized);
            let why = "the server accepts no token, only a user and a password (HTTP Basic)";
            assert!(error.to_string().contains(why), "{error}");
        }
        assert_eq!(answer.is_ok(), version == ApiVersion::V3);
    }
}

#[tokio::test]
async fn a_wrong_base_url_is_an_unknown_route() {
    for version in [ApiVersion::V3, ApiVersion::V2] {
        let (server, _) = embedded(version);
        let (user, password) = server.login();
        let images = below(&server, "elsewhere", user, password);
        for answer in [
            images.list().await.map(drop),
            images.list().provider("ec2").await.map(drop),
            images.get("ami-1").send().await.map(drop),
            images.create(new("ami-1")).send().await.map(drop),
            images.delete("ami-1").send().await.map(drop),
        ] {
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownRoute);
            assert!(error.to_string().contains("is the base URL right?"));
        }
    }
}

#[tokio::test]
async fn a_login_does_what_its_policies_allow() {
    let server = DevopsServer::builder()
        .user("reader", "pw", &[AccessPolicy::ReadImages])
        .user("maker", "pw", &[AccessPolicy::CreateImage])
        .user("breaker", "pw", &[AccessPolicy::DeleteImage])
        .start()
        .unwrap();
    for (user, may) in [
        ("reader", [true, true, false, false, false]),
        ("maker", [false, false, true, true, false]),
        ("breaker", [false, false, false, false, true]),
    ] {
        server.add_image("ami-1", "ec2", "ec2-user", "debian");
        let images = of(&server, user, "pw");
        let whole = images.update("ami-1").name("x").remote_user("y");
        let answers = [
            images.list().await.map(drop),
            images.get("ami-1").send().await.map(drop),
            images.create(new(&fresh(""))).send().await.map(drop),
            whole.send().await.map(drop),
            images.delete("ami-1").send().await.map(drop),
        ];
        for (answer, may) in answers.into_iter().zip(may) {
            match answer {
                Ok(()) => assert!(may, "{user}"),
                Err(error) => {
                    assert!(!may, "{user}: {error}");
                    assert_eq!(error.kind(), ErrorKind::Forbidden);
                }
            }
        }
    }
}

#[tokio::test]
async fn an_image_in_use_stays() {
    for version in [ApiVersion::V3, ApiVersion::V2] {
        let (server, images) = embedded(version);
        server.add_image("ami-1", "ec2", "ec2-user", "debian");
        server.mark_in_use("ami-1", "proj.test");
        let error = images.delete("ami-1").send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        let message = error.message().unwrap();
        assert!(message.starts_with("Deleting is forbidden: Image is used in "));
        assert_eq!(server.images().len(), 1);
    }
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_unknown_and_not_repeated() {
    let (server, images) = embedded(ApiVersion::V3);
    let close = Close::Reset;
    server.inject(Fault::DropResponse { close }.on("POST", "/v3/image"));
    let error = images.create(new("ami-1")).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert!(!error.is_retryable());
    assert_eq!(server.requests().len(), 1);
    assert_eq!(images.get("ami-1").send().await.unwrap().name, "debian-12");
}

#[tokio::test]
async fn an_update_whose_answer_is_lost_is_sent_again() {
    let (server, images) = embedded(ApiVersion::V3);
    server.add_image("ami-1", "ec2", "ec2-user", "debian");
    let close = Close::Reset;
    server.inject(Fault::DropResponse { close }.on("PUT", "/v3/image/ami-1"));
    let updated = images.update("ami-1").name("x").send().await.unwrap();
    assert_eq!(updated.image.unwrap().name, "x");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_deletion_whose_answer_is_lost_is_done() {
    let (server, images) = embedded(ApiVersion::V3);
    server.add_image("ami-1", "ec2", "ec2-user", "debian");
    server.inject(Fault::DropResponse {
        close: Close::Reset,
    });
    images.delete("ami-1").send().await.unwrap();
    assert_eq!(server.images().len(), 0);
}

#[tokio::test]
async fn a_list_that_breaks_off_is_asked_for_again() {
    let (server, images) = embedded(ApiVersion::V2);
    server.add_image("ami-1", "ec2", "ec2-user", "debian");
    let close = Close::Clean;
    server.inject(Fault::CutResponse { after: 10, close });
    assert_eq!(images.list().await.unwrap().len(), 1);
    assert_eq!(server.requests().len(), 2);
}
