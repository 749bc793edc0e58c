use std::error::Error as _;

use machine_images::{ErrorKind, devops, djinn, testing};

const KINDS: [ErrorKind; 35] = [
    ErrorKind::InvalidInput,
    ErrorKind::Connect,
    ErrorKind::Tls,
    ErrorKind::Proxy,
    ErrorKind::Timeout,
    ErrorKind::Stalled,
    ErrorKind::Transport,
    ErrorKind::OutcomeUnknown,
    ErrorKind::NotSent,
    ErrorKind::Redirect,
    ErrorKind::Unauthorized,
    ErrorKind::Forbidden,
    ErrorKind::NotFound,
    ErrorKind::NotFoundOrUnauthorized,
    ErrorKind::UnknownRoute,
    ErrorKind::NameTaken,
    ErrorKind::Rejected,
    ErrorKind::TooLarge,
    ErrorKind::RateLimited,
    ErrorKind::Server,
    ErrorKind::UnexpectedStatus,
    ErrorKind::UnexpectedContent,
    ErrorKind::Decode,
    ErrorKind::Length,
    ErrorKind::Range,
    ErrorKind::Changed,
    ErrorKind::Limit,
    ErrorKind::Source,
    ErrorKind::Io,
    ErrorKind::Busy,
    ErrorKind::DigestMismatch,
    ErrorKind::ImageRejected,
    ErrorKind::NotReady,
    ErrorKind::DownloadFailed,
    ErrorKind::Deleted,
];

#[test]
fn an_error_has_the_given_kind_and_a_text() {
    for kind in KINDS {
        let error = testing::error(kind);
        assert_eq!(error.kind(), kind);
        assert!(!error.to_string().is_empty(), "{kind}");
    }
}

#[test]
fn an_error_is_retryable_if_its_kind_is() {
    let retryable = KINDS
        .into_iter()
        .filter(|kind| testing::error(*kind).is_retryable());
    let expected = [
        ErrorKind::Connect,
        ErrorKind::Timeout,
        ErrorKind::Stalled,
        ErrorKind::Transport,
        ErrorKind::NotSent,
        ErrorKind::RateLimited,
        ErrorKind::Server,
        ErrorKind::NotReady,
    ];
    assert_eq!(retryable.collect::<Vec<_>>(), expected);
}

#[test]
fn an_error_has_the_details_of_its_kind() {
    assert_eq!(testing::error(ErrorKind::Server).status(), Some(503));
    assert_eq!(testing::error(ErrorKind::NotFound).status(), Some(404));
    assert_eq!(testing::error(ErrorKind::Timeout).status(), None);
    assert_eq!(testing::error(ErrorKind::InvalidInput).attempts(), 0);
    assert_eq!(testing::error(ErrorKind::Transport).attempts(), 1);
    assert!(testing::error(ErrorKind::Connect).source().is_some());
    let error = testing::error(ErrorKind::ImageRejected);
    assert_eq!(error.inspection().unwrap().rejections().count(), 1);
}

#[test]
fn the_kind_of_a_status_error_follows_from_the_status() {
    for (status, kind, is_retryable) in [
        (401, ErrorKind::Unauthorized, false),
        (404, ErrorKind::NotFound, false),
        (429, ErrorKind::RateLimited, true),
        (500, ErrorKind::Server, false),
        (503, ErrorKind::Server, true),
    ] {
        let error = testing::status_error(status, "words");
        assert_eq!((error.kind(), error.status()), (kind, Some(status)));
        assert_eq!(error.message(), Some("words"));
        assert_eq!(error.is_retryable(), is_retryable, "{status}");
    }
}

#[test]
fn images_survive_json() {
    let image = testing::image(42, "debian-12");
    assert_eq!(image.url.path(), "/images/42");
    let json = serde_json::to_string(&image).unwrap();
    assert_eq!(serde_json::from_str::<djinn::Image>(&json).unwrap(), image);
    let image = testing::devops_image("ami-1", "debian-12");
    let json = serde_json::to_string(&image).unwrap();
    assert_eq!(serde_json::from_str::<devops::Image>(&json).unwrap(), image);
}
