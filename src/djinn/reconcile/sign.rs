//! The property by which the image of a creation is known.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::djinn::{Image, ImageId, Images, SourceUrl};
use crate::error::{Error, ErrorKind, Result};

/// The least rate at which a server copies an upload; a real one was seen to copy 1 GiB in 6 s.
const BYTES_PER_SECOND: u64 = 50 * 1024 * 1024;

/// The property by which the image of a creation is told from others of its name.
pub(super) enum Sign {
    /// The length of an upload.
    Length(u64),
    /// The source of the server's download.
    Source(Url),
}

impl Sign {
    /// Returns the time that the server may take to create the image.
    pub(super) fn delay(&self) -> Duration {
        match self {
            Self::Length(length) => Duration::from_secs(length / BYTES_PER_SECOND),
            Self::Source(_) => Duration::ZERO,
        }
    }

    /// Returns `true` if an image has the sign, and `None` if that is yet to be seen.
    pub(super) async fn is_of(&self, image: &Image, images: &Images) -> Result<Option<bool>> {
        Ok(match (self, &image.download) {
            (Self::Length(length), None) => Some(total_length(images, image.id).await? == *length),
            (Self::Source(sent), Some(download)) => Some(is_source(sent, &download.source)),
            // The server stores an image before its download.
            (Self::Source(_), None) => None,
            (Self::Length(_), Some(_)) => Some(false),
        })
    }
}

/// Returns `true` if the server shows this URL as the source of a download: in lower case, without the
/// password, and with more or fewer characters percent-encoded.
fn is_source(sent: &Url, shown: &SourceUrl) -> bool {
    let decoded = |text: &str| {
        let mut bytes: Vec<u8> = percent_decode_str(text).collect();
        bytes.make_ascii_lowercase();
        bytes
    };
    let parts = |url: &Url| {
        let host = url.host_str().map(str::to_owned);
        let address = (url.scheme().to_owned(), host, url.port_or_known_default());
        (address, decoded(url.path()), url.query().map(decoded))
    };
    Url::parse(&shown.to_string()).is_ok_and(|shown| parts(&shown) == parts(sent))
}

/// Returns the length of an image's content.
async fn total_length(images: &Images, id: ImageId) -> Result<u64> {
    match images.content(id).range(0..1).send().await {
        Ok(start) => match start.total() {
            Some(total) => Ok(total),
            None => {
                let message = "the response does not have the length of the image";
                Err(Error::plain(ErrorKind::Range, message))
            }
        },
        // No first byte.
        Err(error) if error.status() == Some(416) => Ok(0),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_known_again_as_the_server_shows_it() {
        let sent = Url::parse("https://User:Secret@Example.org/Ok.qcow2?Sig=AbC").unwrap();
        for (shown, is_same) in [
            ("https://user:xxxxx@example.org/ok.qcow2?sig=abc", true),
            ("https://example.org/ok.qcow2?sig=abc", true),
            ("https://user:xxxxx@example.org:443/ok.qcow2?sig=abc", true),
            ("http://user:xxxxx@example.org/ok.qcow2?sig=abc", false),
            ("https://user:xxxxx@example.org/other.qcow2?sig=abc", false),
            ("https://user:xxxxx@example.org/ok.qcow2", false),
            ("not a URL", false),
            ("", false),
        ] {
            let shown = SourceUrl::from(shown.to_owned());
            assert_eq!(is_source(&sent, &shown), is_same, "{shown}");
        }
        // As the server encodes it once it has to.
        let sent = Url::parse("http://h/A|b^c%20d/\u{e9}").unwrap();
        let shown = SourceUrl::from("http://h/a%7cb%5ec%20d/%c3%a9".to_owned());
        assert!(is_source(&sent, &shown));
    }
}
