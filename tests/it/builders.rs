//! Builders of both services: awaiting them, their options, and what they show.

use futures::TryStreamExt;
use machine_images::djinn::{Client, Images};
use machine_images::testing::{DevopsServer, DjinnServer};
use machine_images::{ErrorKind, RetryPolicy, devops};

const DISK: &[u8] = include_bytes!("../data/disk.qcow2");

fn images(server: &DjinnServer) -> Images {
    let client = Client::builder(server.url()).token(server.token());
    client.build().unwrap().images()
}

fn targets(server: &DjinnServer) -> Vec<String> {
    let requests = server.requests().into_iter();
    requests.map(|request| request.target).collect()
}

#[tokio::test]
async fn every_call_of_djinn_can_be_awaited() {
    let server = DjinnServer::start().unwrap();
    let images = images(&server);
    let web = images.create_upload("web", DISK).await.unwrap();
    let url = server.publish(DISK).unwrap();
    let copy = images.create_download("copy", url).await.unwrap();
    images.wait_downloaded(copy.id).await.unwrap();
    assert_eq!(images.get(web.id).await.unwrap().name, "web");
    let user = server.client().unwrap().check().await.unwrap();
    assert!(!user.username.is_empty());
    assert_eq!(images.find("web").await.unwrap().unwrap().id, web.id);
    assert_eq!(images.list().await.unwrap().len(), 2);
    assert_eq!(images.list().limit(1).await.unwrap().len(), 1);
    assert_eq!(images.list().page(1).await.unwrap().items.len(), 2);
    images.delete(web.id).await.unwrap();
    assert_eq!(images.list().all().await.unwrap()[0].id, copy.id);
}

#[tokio::test]
async fn every_call_of_devops_can_be_awaited() {
    let server = DevopsServer::start().unwrap();
    let (user, password) = server.login();
    let client = devops::Client::builder(server.url()).basic(user, password);
    let images = client.build().unwrap().images();
    let new = devops::NewImage::new("ami-1", "ec2", "root", "web");
    let created = images.create(new).await.unwrap();
    assert_eq!(created.id, "ami-1");
    images.update(&created.id).name("shop").await.unwrap();
    assert_eq!(images.get(&created.id).await.unwrap().name, "shop");
    assert_eq!(images.list().await.unwrap().len(), 1);
    images.delete(created.id).await.unwrap();
    assert_eq!(images.list().all().await.unwrap(), []);
}

#[tokio::test]
async fn a_limit_cuts_the_last_page_and_requests_no_other() {
    for (limit, pages) in [
        (0, vec![]),
        (25, vec![25]),
        (26, vec![25, 1]),
        (99, vec![25, 25, 10]),
    ] {
        let server = DjinnServer::start().unwrap();
        server.add_images(60).unwrap();
        let walk = images(&server).list().limit(limit).pages();
        let walked: Vec<_> = walk.try_collect().await.unwrap();
        let counts: Vec<_> = walked.iter().map(|page| page.items.len()).collect();
        assert_eq!(counts, pages, "limit {limit}");
        assert_eq!(server.requests().len(), pages.len(), "limit {limit}");
    }
}

#[tokio::test]
async fn consistent_pages_have_what_the_consistent_stream_has() {
    let server = DjinnServer::start().unwrap();
    server.add_images(60).unwrap();
    let images = images(&server);
    let pages = images.list().consistent(5).pages();
    let pages: Vec<_> = pages.try_collect().await.unwrap();
    // The second reading has nothing new.
    let numbers: Vec<_> = pages.iter().map(|page| page.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(server.requests().len(), 6);
    let all = images.list().consistent(5).await.unwrap();
    let items = pages.into_iter().flat_map(|page| page.items);
    assert_eq!(items.collect::<Vec<_>>(), all);
}

#[tokio::test]
async fn a_walk_begins_at_its_first_page() {
    let server = DjinnServer::start().unwrap();
    server.add_images(60).unwrap();
    let walk = images(&server).list().from_page(2);
    assert_eq!(walk.clone().await.unwrap().len(), 35);
    let first = walk.pages().try_next().await.unwrap().unwrap();
    assert_eq!((first.number, first.previous), (2, Some(1)));
}

#[tokio::test]
async fn a_namespace_without_an_owner_is_that_of_the_tokens_user() {
    let server = DjinnServer::start().unwrap();
    for number in 0..30 {
        let image = server.new_image(&format!("web-{number}"));
        image.namespace("lab").content(DISK).add().unwrap();
    }
    let list = images(&server).list().namespace("lab".parse().unwrap());
    assert_eq!(list.clone().await.unwrap().len(), 30);
    let lab = |page: &str| format!("/api/n/tester/lab/-/images{page}");
    // The user is asked for once, however many pages there are.
    let expected = ["/api/user".to_owned(), lab(""), lab("?page=2")];
    assert_eq!(targets(&server), expected);
    server.clear_requests();
    list.page(1).await.unwrap();
    assert_eq!(targets(&server), [lab("")]);
}

#[tokio::test]
async fn a_wrong_token_for_a_namespace_without_an_owner_says_what_to_try() {
    let server = DjinnServer::start().unwrap();
    let client = Client::builder(server.url()).token("wrong");
    let client = client.retry(RetryPolicy::none()).build().unwrap();
    let list = client.images().list().namespace("lab".parse().unwrap());
    let error = list.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let message = "list images: the token is wrong, or the server does not tell its user: \
                   try lab@OWNER (404 Not Found)";
    assert!(error.to_string().starts_with(message), "{error}");
}

#[test]
fn no_builder_shows_a_secret() {
    let client = Client::builder("http://h").token("s3cr3t-t0k3n");
    let images = client.build().unwrap().images();
    let url = "http://user:s3cr3t-pw@h/disk?signature=s3cr3t-signature";
    for shown in [
        format!("{:?}", images.create_download("x", url.parse().unwrap())),
        format!("{:?}", images.create_upload("x", DISK)),
        format!("{:?}", images.list().query("key", "s3cr3t")),
        format!("{:?}", images.list().query("key", "s3cr3t").page(1)),
        format!("{:?}", images.list().query("key", "s3cr3t").limit(1)),
        format!("{:?}", images.wait_downloaded(1)),
        format!("{:?}", images.find("x")),
        format!("{:?} {:?}", images.get(1), images.delete(1)),
    ] {
        assert!(shown.contains("http://h"), "{shown}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}
