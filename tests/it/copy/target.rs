//! Targets that refuse, break, or lose the response.

use super::*;

fn upload(fault: Fault) -> FaultRule {
    fault.on("POST", "/images")
}

#[tokio::test]
async fn a_target_that_refuses_creates_nothing_and_is_asked_once() {
    for (status, kind) in [
        (413, ErrorKind::TooLarge),
        (429, ErrorKind::RateLimited),
        (500, ErrorKind::Server),
        (503, ErrorKind::Server),
    ] {
        for early in [false, true] {
            let site = Site::new(large(3_000_000));
            let (after, close) = (1000, Close::Clean);
            site.target.inject(upload(match early {
                true => Fault::EarlyResponse {
                    status,
                    after,
                    close,
                },
                false => Fault::status(status),
            }));
            let error = site.copy().await.unwrap_err();
            site.check_failure(&error, Side::Target, kind);
            assert_eq!(error.status(), Some(status));
            assert_eq!(site.target.requests().len(), 1);
        }
    }
}

#[tokio::test]
async fn an_upload_that_breaks_before_its_end_creates_nothing() {
    let close = Close::Reset;
    for fault in [
        Fault::DropRequest { close },
        Fault::CutRequest { after: 0, close },
        Fault::CutRequest {
            after: 5_000_000,
            close,
        },
    ] {
        for reconcile in [false, true] {
            // More than the buffers of a connection hold.
            let site = Site::new(large(40_000_000));
            site.target.inject(upload(fault.clone()));
            let error = site.copy().reconcile(reconcile).await.unwrap_err();
            site.check_failure(&error, Side::Target, ErrorKind::NotSent);
            assert!(error.is_retryable());
            let requests = site.target.requests();
            let posts = requests.iter().filter(|request| request.method == "POST");
            assert_eq!(posts.count(), 1);
        }
    }
}

#[tokio::test]
async fn a_lost_response_is_an_unknown_outcome_or_is_reconciled() {
    for close in [Close::Clean, Close::Reset] {
        let site = Site::new(large(3_000_000));
        site.target.inject(upload(Fault::DropResponse { close }));
        let error = site.copy().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
        assert_eq!(error.side(), Some(Side::Target));
        assert_eq!(site.target.image_count(), 1);

        for (name, digest) in [("second", None), ("third", Some(Digest::of(&site.bytes)))] {
            site.target.inject(upload(Fault::DropResponse { close }));
            let mut copy = site.copy().name(name).reconcile(true);
            if let Some(digest) = digest {
                copy = copy.sha256(digest);
            }
            let copied = copy.await.unwrap();
            assert!(site.target.content(copied.image.id) == Some(site.bytes.clone()));
            assert_eq!(copied.sha256, Digest::of(&site.bytes));
        }
        assert_eq!(site.target.image_count(), 3);
        site.check_requests();
    }
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_says_that_the_image_was_looked_for() {
    let site = Site::new(DISK.to_vec());
    for is_reconciled in [false, true] {
        site.target.inject(upload(Fault::Html { status: 502 }));
        let copy = site.copy();
        let copy = match is_reconciled {
            true => copy.reconcile_within(Duration::from_secs(1)),
            false => copy,
        };
        let error = copy.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
        let text = error.to_string();
        assert_eq!(text.contains("is not there"), is_reconciled, "{text}");
    }
    assert_eq!(site.target.image_count(), 0);
}

#[tokio::test]
async fn a_name_that_is_taken_fetches_and_sends_nothing_with_reconcile() {
    let site = Site::new(DISK.to_vec());
    site.target.add_image("debian", DISK).unwrap();
    let error = site.copy().reconcile(true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NameTaken);
    let requests = site.target.requests();
    assert!(requests.iter().all(|request| request.method == "GET"));
    let requests = site.source.requests();
    let is_content = |accept| accept == "application/x-qemu-disk";
    assert!(
        !requests
            .iter()
            .any(|request| request.header("accept").is_some_and(is_content))
    );
}

#[tokio::test]
async fn a_target_that_is_away_is_an_error_of_the_target() {
    let site = Site::new(DISK.to_vec());
    let to = Client::builder("http://127.0.0.1:1")
        .build()
        .unwrap()
        .images();
    let error = site.from.copy(site.id).to(&to).await.unwrap_err();
    site.check_failure(&error, Side::Target, ErrorKind::Connect);
}
