//! Creations that find out what came of them, with the faults of networks.

use std::sync::Arc;
use std::time::Duration;

use machine_images::devops::{ApiVersion, Client, Created, Images, NewImage};
use machine_images::testing::{AccessPolicy, Close, DevopsServer, Fault, FaultRule};
use machine_images::{ErrorKind, Result, RetryPolicy};
use serde_json::json;

use crate::support::quick;

const ID: &str = "ami-1";
const CLOSES: [Close; 2] = [Close::Clean, Close::Reset];

/// A server of either version, with its client.
struct Site {
    server: Arc<DevopsServer>,
    images: Images,
}

fn site(version: ApiVersion, retry: RetryPolicy) -> Site {
    let server = DevopsServer::builder()
        .api_version(version)
        .template("omnibus")
        .start()
        .unwrap();
    let (user, password) = server.login();
    let client = Client::builder(server.url()).basic(user, password);
    let images = client.retry(retry).build().unwrap().images();
    Site {
        server: Arc::new(server),
        images,
    }
}

/// One of each version.
fn sites() -> [Site; 2] {
    [ApiVersion::V3, ApiVersion::V2].map(|version| site(version, quick()))
}

fn new() -> NewImage {
    NewImage::new(ID, "ec2", "ec2-user", "debian")
}

impl Site {
    fn inject(&self, fault: Fault) {
        self.server.inject(fault.on("POST", "/v3/image"));
    }

    async fn create(&self, image: NewImage) -> Result<Created> {
        self.images.create(image).reconcile(true).send().await
    }

    /// How often the image was sent.
    fn posts(&self) -> usize {
        let requests = self.server.requests();
        requests
            .iter()
            .filter(|request| request.method == "POST")
            .count()
    }

    /// Creates, and expects one image in the end, after so many attempts.
    async fn assert_created(&self, image: NewImage, posts: usize) {
        let created = self.create(image).await.unwrap();
        assert_eq!(created.id, ID);
        assert_eq!((self.posts(), self.server.images().len()), (posts, 1));
    }
}

#[tokio::test]
async fn a_lost_answer_is_looked_up() {
    for close in CLOSES {
        for site in sites() {
            site.inject(Fault::DropResponse { close });
            let created = site.create(new()).await.unwrap();
            assert_eq!(created.id, ID);
            assert_eq!(created.message, None);
            assert_eq!((site.posts(), site.server.images().len()), (1, 1));
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_garbled_is_looked_up() {
    for site in sites() {
        let close = Close::Clean;
        site.inject(Fault::CutResponse { after: 5, close });
        site.assert_created(new(), 1).await;
    }
    // Nothing was done here, whatever the status says.
    for site in sites() {
        site.inject(Fault::GarbageJson);
        site.assert_created(new(), 2).await;
    }
}

#[tokio::test]
async fn a_request_that_did_not_arrive_is_sent_again() {
    for close in CLOSES {
        for fault in [
            Fault::DropRequest { close },
            Fault::CutRequest { after: 10, close },
        ] {
            for site in sites() {
                site.inject(fault.clone());
                site.assert_created(new(), 2).await;
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_was_away_is_waited_for() {
    for (done, posts) in [(true, 1), (false, 2)] {
        for site in sites() {
            let wait = Duration::from_millis(700);
            site.inject(Fault::Restart { done, wait });
            site.assert_created(new(), posts).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_stays_away_leaves_the_outcome_unknown() {
    for site in sites() {
        let wait = Duration::from_secs(600);
        site.inject(Fault::Restart { done: true, wait });
        let create = site.images.create(new());
        let create = create.reconcile_within(Duration::from_millis(600));
        let error = create.send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
        assert!(!error.is_retryable());
        assert_eq!((site.posts(), site.server.images().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_proxy_that_gives_up_is_looked_up_or_sent_again() {
    for status in [500, 502, 503, 504] {
        for site in sites() {
            site.inject(Fault::Html { status });
            site.assert_created(new(), 2).await;
        }
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    for site in sites() {
        site.server
            .inject(Fault::status(429).on("POST", "/v3/image").times(2));
        site.assert_created(new(), 3).await;
    }
}

#[tokio::test]
async fn a_clear_refusal_is_final() {
    for site in sites() {
        let image = NewImage::new(ID, "no-such-provider", "u", "n");
        let error = site.create(image).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert_eq!(site.posts(), 1);
    }
}

#[tokio::test]
async fn an_image_of_before_is_never_taken_for_the_new_one() {
    for site in sites() {
        // Equal in every field.
        site.server.add_image(ID, "ec2", "ec2-user", "debian");
        site.inject(Fault::DropResponse {
            close: Close::Clean,
        });
        let error = site.create(new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NameTaken);
        let shown = "create image \"ami-1\": an id must be unique: \"ami-1\" exists already";
        assert_eq!(error.to_string(), shown);
        assert_eq!(site.posts(), 0);
    }
}

/// A fault at the creation, before which another client creates an image under the same id.
fn overtaken(site: &Site, fault: Fault, name: &'static str) -> FaultRule {
    let server = Arc::clone(&site.server);
    fault.when(move |request| {
        let is_meant = request.method == "POST" && server.images().is_empty();
        if is_meant {
            server.add_image(ID, "ec2", "ec2-user", name);
        }
        is_meant
    })
}

#[tokio::test]
async fn an_image_with_other_fields_is_another_clients() {
    for fault in [
        Fault::DropRequest {
            close: Close::Reset,
        },
        Fault::status(503),
    ] {
        for site in sites() {
            let rule = overtaken(&site, fault.clone(), "other");
            site.server.inject(rule);
            let error = site.create(new()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NameTaken);
            assert_eq!(site.server.images()[0]["name"], "other");
            site.server.clear_faults();
        }
    }
}

#[tokio::test]
async fn a_duplicate_after_an_unclear_attempt_is_looked_up() {
    for site in sites() {
        // As of a proxy that fails although the server created the image.
        let rule = overtaken(&site, Fault::status(503), "debian");
        site.server.inject(rule);
        let created = site.create(new()).await.unwrap();
        assert_eq!(created.id, ID);
        assert_eq!((site.posts(), site.server.images().len()), (2, 1));
        site.server.clear_faults();
    }
}

#[tokio::test]
async fn a_duplicate_at_the_first_attempt_is_not() {
    for site in sites() {
        // It appears between the look and the creation.
        let rule = overtaken(
            &site,
            Fault::DelayResponse {
                wait: Duration::ZERO,
            },
            "debian",
        );
        site.server.inject(rule);
        let error = site.create(new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NameTaken);
        assert_eq!(site.posts(), 1);
        site.server.clear_faults();
    }
}

#[tokio::test]
async fn fields_are_compared_as_the_server_stores_them() {
    let mut padded = NewImage::new(ID, "ec2", " root\t", "  debian 12  ");
    padded.extra.insert("color".to_owned(), json!("red"));
    let templated = new().bootstrap_template("omnibus");
    let nameless = NewImage::new(ID, "ec2", "root", "");
    for image in [padded, templated, nameless] {
        for site in sites() {
            let close = Close::Reset;
            site.inject(Fault::DropResponse { close });
            site.assert_created(image.clone(), 1).await;
        }
    }
}

#[tokio::test]
async fn another_template_is_another_image() {
    for site in sites() {
        let close = Close::Reset;
        // What is added has no template.
        let rule = overtaken(&site, Fault::DropRequest { close }, "debian");
        site.server.inject(rule);
        let image = new().bootstrap_template("omnibus");
        let error = site.create(image).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NameTaken);
        site.server.clear_faults();
    }
}

#[tokio::test]
async fn without_retries_it_is_looked_up_and_not_sent_again() {
    let site = site(ApiVersion::V2, RetryPolicy::none());
    let close = Close::Reset;
    site.inject(Fault::DropResponse { close });
    site.assert_created(new(), 1).await;
    site.images.delete(ID).send().await.unwrap();

    site.inject(Fault::DropRequest { close });
    let error = site.create(new()).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::OutcomeUnknown | ErrorKind::NotSent),
        "{error:?}"
    );
    assert_eq!(site.posts(), 2);
}

#[tokio::test]
async fn a_login_that_cannot_look_is_refused_before_anything_is_sent() {
    let server = DevopsServer::builder()
        .user("maker", "pw", &[AccessPolicy::CreateImage])
        .start()
        .unwrap();
    let client = Client::builder(server.url()).basic("maker", "pw");
    let images = client.build().unwrap().images();
    let error = images.create(new()).reconcile(true).send().await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(error.to_string().contains("lacks read_images"), "{error}");
    assert_eq!(server.images().len(), 0);
    images.create(new()).send().await.unwrap();
}

#[tokio::test]
async fn reconcile_can_be_turned_off_again() {
    let [site, _] = sites();
    let close = Close::Reset;
    site.inject(Fault::DropResponse { close });
    let create = site.images.create(new()).reconcile(true).reconcile(false);
    let error = create.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(site.server.requests().len(), 1);
}
