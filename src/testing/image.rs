use jiff::Timestamp;
use url::Url;

use crate::{devops, djinn};

/// Returns an image of a Djinn CI server, as [`Images::get`](djinn::Images::get) would.
///
/// Its fields are public: change them as the test requires. It defaults to an image of user 1
/// without a namespace, created at the start of 1970.
///
/// ```
/// use machine_images::testing;
///
/// let mut image = testing::image(42, "debian-12");
/// image.namespace_id = Some(7.into());
/// assert_eq!(image.id, 42.into());
/// assert_eq!(image.name, "debian-12");
/// ```
#[must_use]
pub fn image(id: impl Into<djinn::ImageId>, name: impl Into<String>) -> djinn::Image {
    let id = id.into();
    djinn::Image {
        id,
        author_id: djinn::UserId::new(1),
        user_id: djinn::UserId::new(1),
        namespace_id: None,
        driver: Some(djinn::Driver::Qemu),
        name: name.into(),
        created_at: Timestamp::UNIX_EPOCH,
        url: image_url(id),
        author: None,
        user: None,
        namespace: None,
        download: None,
        extra: djinn::Extra::new(),
    }
}

/// Returns an image of a DevOps Service, as [`Images::get`](devops::Images::get) would.
///
/// Its fields are public: change them as the test requires. It defaults to the provider `ec2` and
/// the user `ec2-user`.
///
/// ```
/// use machine_images::testing;
///
/// let mut image = testing::devops_image("ami-63071b0a", "debian-12");
/// image.remote_user = "admin".to_owned();
/// assert_eq!(image.id, "ami-63071b0a");
/// assert_eq!(image.provider, "ec2");
/// ```
#[must_use]
pub fn devops_image(id: impl Into<devops::ImageId>, name: impl Into<String>) -> devops::Image {
    devops::Image {
        id: id.into(),
        provider: "ec2".to_owned(),
        remote_user: "ec2-user".to_owned(),
        name: name.into(),
        bootstrap_template: None,
        extra: devops::Extra::new(),
    }
}

fn image_url(id: djinn::ImageId) -> Url {
    match Url::parse(&format!("https://djinn.example/images/{id}")) {
        Ok(url) => url,
        Err(error) => unreachable!("a constant and a number are a URL: {error}"),
    }
}
