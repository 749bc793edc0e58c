//! Users, namespaces and collaborators.

use machine_images::djinn::Visibility;
use machine_images::testing::{DjinnServer, Fault};
use serde_json::Value;

use crate::http::{Answer, QCOW2, exchange, get};

const ELI: &str = "72bcff1345c5005f318d16466eb229d0";
const ALYX: &str = "6fe101b2892c9d3f5e8f7ab3ea5a0a0b";

/// Gordon, who is the default user, Eli, who collaborates in `lab`, and Alyx, who does not.
fn server() -> DjinnServer {
    let server = DjinnServer::builder()
        .username("gordon")
        .user("eli", ELI)
        .user("alyx", ALYX)
        .start()
        .unwrap();
    server.add_namespace("lab", Visibility::Private).unwrap();
    server.add_collaborator("lab", "eli").unwrap();
    server
}

fn call(server: &DjinnServer, token: &str, method: &str, target: &str, body: &[u8]) -> Answer {
    let authorization = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let length = body.len();
    let head = format!(
        "{method} /api{target} HTTP/1.1\r\nHost: t\r\n{authorization}Content-Length: {length}\r\n\r\n"
    );
    Answer::parse(&exchange(&server.url(), &[head.as_bytes(), body].concat()))
}

fn upload(server: &DjinnServer, token: &str, query: &str) -> Answer {
    call(server, token, "POST", &format!("/images?{query}"), QCOW2)
}

fn status(server: &DjinnServer, token: &str, target: &str) -> u16 {
    call(server, token, "GET", target, b"").status()
}

fn names(server: &DjinnServer, token: &str, target: &str) -> Vec<String> {
    let answer = call(server, token, "GET", target, b"");
    assert_eq!(answer.status(), 200, "{target}");
    let rows = answer.json();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_token_shows_its_user() {
    let server = server();
    let user = call(&server, ELI, "GET", "/user", b"").json();
    assert_eq!((&user["id"], &user["username"]), (&2.into(), &"eli".into()));
    let keys: Vec<&String> = user.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["created_at", "email", "id", "username"]);
    for token in ["", "bad"] {
        let answer = call(&server, token, "GET", "/user", b"");
        assert_eq!(
            (answer.status(), answer.text()),
            (404, "{\"message\":\"Not Found\"}\n")
        );
    }
}

#[test]
fn an_upload_of_a_collaborator_belongs_to_the_namespace_owner() {
    let server = server();
    let answer = upload(&server, ELI, "name=a&namespace=lab%40gordon");
    assert_eq!(answer.status(), 201);
    let check = |image: &Value| {
        assert_eq!(
            (&image["author_id"], &image["user_id"]),
            (&2.into(), &1.into())
        );
        assert_eq!(image["author"]["username"], "eli");
        assert_eq!(image["user"]["username"], "gordon");
        assert_eq!(image["namespace"]["user_id"], 1);
    };
    check(&answer.json());
    for token in [server.token(), ELI] {
        check(&call(&server, token, "GET", "/images/1", b"").json());
        check(&call(&server, token, "GET", "/images", b"").json()[0]);
    }
    assert_eq!(status(&server, ALYX, "/images"), 200);
    assert!(names(&server, ALYX, "/images").is_empty());
}

#[test]
fn a_namespace_without_an_owner_belongs_to_the_user() {
    let server = server();
    let image = upload(&server, ELI, "name=a&namespace=lab").json();
    assert_eq!(
        (&image["user_id"], &image["namespace_id"]),
        (&2.into(), &2.into())
    );
}

#[test]
fn only_collaborators_can_delete_from_a_namespace() {
    let server = server();
    for (author, token, expected) in [
        ("gordon", ALYX, 404),
        ("gordon", "", 404),
        ("gordon", ELI, 204),
        ("eli", server.token(), 204),
    ] {
        let image = server.new_image("a").author(author).namespace("lab@gordon");
        let target = format!("/images/{}", image.content(QCOW2).add().unwrap());
        let answer = call(&server, token, "DELETE", &target, b"");
        assert_eq!(answer.status(), expected, "{author}");
    }
    let own = server.new_image("b").content(QCOW2).add().unwrap();
    let answer = call(&server, ELI, "DELETE", &format!("/images/{own}"), b"");
    assert_eq!(answer.status(), 404);
}

#[test]
fn names_are_unique_per_namespace_and_per_owner() {
    let server = server();
    for (token, query, expected) in [
        (server.token(), "name=a", 201),
        (server.token(), "name=a", 400),
        (server.token(), "name=a&namespace=lab", 201),
        (ELI, "name=a&namespace=lab%40gordon", 400),
        (server.token(), "name=a&namespace=other", 201),
        (ELI, "name=a", 201),
        (ELI, "name=b&namespace=lab%40gordon", 201),
        (server.token(), "name=b&namespace=lab", 400),
        (ELI, "name=b", 201),
        (server.token(), "name=b", 400),
    ] {
        assert_eq!(upload(&server, token, query).status(), expected, "{query}");
    }
}

#[test]
fn a_refused_upload_creates_its_namespace() {
    let server = server();
    let answer = upload(&server, ALYX, "name=%21&namespace=new%40gordon");
    assert_eq!(
        answer.text(),
        "{\"name\":[\"Name does not match ^[a-zA-Z0-9_\\\\-]+$\"],\
         \"namespace\":[\"Namespace permission denied\"]}\n"
    );
    assert!(names(&server, server.token(), "/n/gordon/new/-/images").is_empty());
    assert_eq!(
        status(&server, server.token(), "/n/gordon/newer/-/images"),
        404
    );
}

#[test]
fn a_nested_namespace_duplicates_its_parent() {
    let server = server();
    let image = upload(&server, ELI, "name=a&namespace=lab/deep%40gordon").json();
    assert_eq!(
        (&image["namespace_id"], &image["namespace"]["parent_id"]),
        (&3.into(), &1.into())
    );
    assert_eq!(image["namespace"]["root_id"], 1);
    let answer = get(&server, "/api/n/gordon/lab/-/images");
    assert_eq!(answer.status(), 500);
    assert!(answer.text().contains("more than one row"), "{answer:?}");
    assert_eq!(names(&server, ELI, "/n/gordon/lab/deep/-/images"), ["a"]);
    let place = ["x"; 21].join("/");
    let answer = upload(&server, ELI, &format!("name=b&namespace={place}"));
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("cannot exceed depth of 20"));
    assert!(names(&server, ELI, "/n/eli/x/x/-/images").is_empty());
}

#[test]
fn a_list_has_own_and_shared_images_and_searches_the_shared_ones() {
    let server = server();
    for (author, namespace, name) in [
        ("gordon", Some("lab@gordon"), "shared-1"),
        ("eli", Some("lab@gordon"), "shared_2"),
        ("gordon", Some("secret@gordon"), "secret"),
        ("gordon", None, "gordons"),
        ("eli", None, "elis"),
        ("alyx", Some("lab@alyx"), "alyxs"),
    ] {
        let mut image = server.new_image(name).author(author);
        if let Some(namespace) = namespace {
            image = image.namespace(namespace);
        }
        image.add().unwrap();
    }
    let eli = |query: &str| names(&server, ELI, &format!("/images{query}"));
    let all = ["elis", "shared-1", "shared_2"];
    assert_eq!(eli(""), all);
    assert_eq!(eli("?search="), all);
    assert_eq!(eli("?search=%25"), all);
    assert_eq!(eli("?search=ed_"), all);
    assert_eq!(eli("?search=RED"), all);
    assert_eq!(eli("?search=ed%5C_"), ["elis", "shared_2"]);
    assert_eq!(eli("?search=s%251"), ["elis", "shared-1"]);
    assert_eq!(eli("?search=nothing"), ["elis"]);
    let gordon = names(&server, server.token(), "/images?search=nothing");
    assert_eq!(gordon, ["gordons", "secret", "shared-1", "shared_2"]);
}

#[test]
fn the_list_of_a_namespace_follows_its_visibility() {
    let server = server();
    server
        .add_namespace("open@alyx", Visibility::Public)
        .unwrap();
    server
        .add_namespace("inner@alyx", Visibility::Internal)
        .unwrap();
    server
        .add_namespace("inner/below@alyx", Visibility::Public)
        .unwrap();
    for (token, target, expected) in [
        (server.token(), "/n/gordon/lab", 200),
        (ELI, "/n/gordon/lab", 200),
        (ALYX, "/n/gordon/lab", 404),
        ("", "/n/gordon/lab", 404),
        (ELI, "/n/alyx/open", 200),
        ("", "/n/alyx/open", 200),
        ("bad", "/n/alyx/open", 200),
        (ELI, "/n/alyx/inner", 200),
        ("", "/n/alyx/inner", 404),
        ("bad", "/n/alyx/inner", 404),
        ("", "/n/alyx/inner/below", 404),
        (ELI, "/n/alyx/none", 404),
        (ELI, "/n/nobody/open", 404),
    ] {
        let target = format!("{target}/-/images");
        assert_eq!(
            status(&server, token, &target),
            expected,
            "{target} {token}"
        );
    }
}

#[test]
fn the_list_of_a_namespace_is_short_paginated_and_searched() {
    let server = server();
    for index in 0..30 {
        let name = format!("image-{index:02}");
        let image = server
            .new_image(&name)
            .author("eli")
            .namespace("lab@gordon");
        image.add().unwrap();
    }
    server.new_image("elsewhere").add().unwrap();
    let target = "/n/gordon/lab/-/images";
    let answer = call(&server, ELI, "GET", &format!("{target}?page=2"), b"");
    let rows = answer.json();
    assert_eq!(rows.as_array().unwrap().len(), 5);
    assert_eq!(
        (&rows[0]["author_id"], &rows[0]["user_id"]),
        (&2.into(), &1.into())
    );
    for field in ["author", "user", "namespace", "download"] {
        assert!(rows[0][field].is_null(), "{field}");
    }
    let link = format!("</api{target}?page=1>; rel=\"prev\", </api{target}?page=2>; rel=\"next\"");
    assert_eq!(answer.header("Link"), Some(link.as_str()));
    let found = names(&server, server.token(), &format!("{target}?search=_9"));
    assert_eq!(found, ["image-09", "image-19", "image-29"]);
}

#[test]
fn an_image_in_a_namespace_is_served_to_everyone() {
    let server = server();
    server.add_namespace("open", Visibility::Public).unwrap();
    for (place, expected) in [(Some("lab"), 200), (Some("open"), 200), (None, 404)] {
        let mut image = server.new_image("a").content(QCOW2);
        if let Some(place) = place {
            image = image.namespace(place);
        }
        let id = image.add().unwrap();
        for authorization in ["", "Authorization: Bearer bad\r\n"] {
            for accept in ["*/*", "application/x-qemu-disk"] {
                let request = format!(
                    "GET /api/images/{id} HTTP/1.1\r\nHost: t\r\nAccept: {accept}\r\n{authorization}\r\n"
                );
                let answer = Answer::parse(&exchange(&server.url(), request.as_bytes()));
                assert_eq!(answer.status(), expected, "{place:?}");
                if expected == 200 && accept != "*/*" {
                    assert_eq!(answer.body, QCOW2);
                }
            }
        }
    }
}

#[test]
fn images_are_added_with_all_settings() {
    let server = server();
    let time = "2026-11-22T00:57:43.05889Z";
    let image = server
        .new_image("a")
        .id(112)
        .created_at(time.parse().unwrap());
    assert_eq!(
        image.content(QCOW2).length(1 << 40).add().unwrap().get(),
        112
    );
    let answer = get(&server, "/api/images/112").json();
    assert_eq!(answer["created_at"], time);
    assert_eq!(server.add_image("b", QCOW2).unwrap().get(), 113);
    assert!(server.new_image("c").id(112).add().is_err());
    assert!(server.new_image("c").author("nobody").add().is_err());
    assert!(server.new_image("c").namespace("lab@nobody").add().is_err());
    assert!(server.add_namespace("lab", Visibility::Public).is_err());
    assert!(server.add_collaborator("none", "eli").is_err());
    assert!(server.add_collaborator("lab", "nobody").is_err());
    assert_eq!(server.image_count(), 2);
}

#[test]
fn names_are_unique_before_the_copy_only_if_set() {
    for (unique, expected) in [(true, 400), (false, 201)] {
        let server = DjinnServer::builder().unique_names(unique).start().unwrap();
        let wait = std::time::Duration::from_millis(200);
        server.inject(Fault::SlowCopy {
            wait,
            outlives_client: true,
        });
        let answer = std::thread::scope(|scope| {
            let slow = scope.spawn(|| crate::http::upload(&server, "?name=a", QCOW2).status());
            while server.requests().is_empty() {
                std::thread::sleep(wait / 20);
            }
            std::thread::sleep(wait / 4);
            assert_eq!(crate::http::upload(&server, "?name=a", QCOW2).status(), 201);
            slow.join().unwrap()
        });
        assert_eq!(answer, expected);
    }
}
