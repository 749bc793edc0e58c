//! A request, described without sending it.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde::Serialize;
use url::Url;

use crate::error::{Error, Result};
use crate::progress::Meter;
use crate::source::Source;

pub(crate) const JSON: &str = "application/json";

/// Everything but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request to one of the two services, relative to the client's base URL.
pub(crate) struct Request {
    pub(crate) method: Method,
    path: String,
    query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload,
    /// Texts that must not be shown if the server repeats them.
    pub(crate) secrets: Vec<SecretString>,
}

pub(crate) enum Payload {
    None,
    Bytes(Bytes),
    /// The source is `None` after it was sent, if it can be read only once.
    Upload(Option<Source>, Meter),
}

impl Request {
    pub(crate) fn new(method: Method) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(JSON));
        Self {
            method,
            path: String::new(),
            query: None,
            headers,
            body: Payload::None,
            secrets: Vec::new(),
        }
    }

    /// Appends path segments, percent-encoded.
    pub(crate) fn path<S: AsRef<str>>(
        mut self,
        segments: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        for segment in segments {
            let segment = segment.as_ref();
            check_segment(segment)?;
            self.path.push('/');
            self.path.extend(utf8_percent_encode(segment, SEGMENT));
        }
        Ok(self)
    }

    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        let before = self.query.take().unwrap_or_default();
        let mut pairs = url::form_urlencoded::Serializer::new(before);
        self.query = Some(pairs.append_pair(name, value).finish());
        self
    }

    /// Replaces the query by one that a server sent.
    pub(crate) fn raw_query(mut self, query: Option<&str>) -> Self {
        self.query = query.map(str::to_owned);
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self> {
        let bytes = serde_json::to_vec(body).map_err(|error| Error::invalid(error.to_string()))?;
        self.body = Payload::Bytes(bytes.into());
        Ok(self.header(CONTENT_TYPE, HeaderValue::from_static(JSON)))
    }

    pub(crate) fn upload(mut self, source: Source, meter: Meter, content_type: &str) -> Self {
        self.body = Payload::Upload(Some(source), meter);
        if let Ok(value) = HeaderValue::from_str(content_type) {
            self.headers.insert(CONTENT_TYPE, value);
        }
        self
    }

    pub(crate) fn secret(mut self, secret: &str) -> Self {
        if !secret.is_empty() {
            self.secrets.push(secret.into());
        }
        self
    }

    /// Returns `true` if repeating the request does no more than sending it once.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.method != Method::POST
    }

    /// Returns `true` if the body can be sent again.
    pub(crate) fn is_replayable(&self) -> bool {
        match &self.body {
            Payload::None | Payload::Bytes(_) => true,
            Payload::Upload(source, _) => source.as_ref().is_some_and(Source::is_replayable),
        }
    }

    pub(crate) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        url.set_path(&format!(
            "{}{}",
            base.path().trim_end_matches('/'),
            self.path
        ));
        url.set_query(self.query.as_deref());
        url
    }
}

/// Refuses a segment that a URL cannot carry.
pub(crate) fn check_segment(segment: &str) -> Result<()> {
    // Even percent-encoded these are navigation.
    if matches!(segment, "" | "." | "..") {
        let message = format!("{segment:?} cannot be an id in a URL");
        return Err(Error::invalid(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(base: &str, segments: &[&str]) -> String {
        let request = Request::new(Method::GET).path(segments).unwrap();
        request.url(&base.parse().unwrap()).to_string()
    }

    #[test]
    fn a_base_has_a_path_or_a_slash_or_neither() {
        for (base, joined) in [
            ("http://h", "http://h/images/1"),
            ("http://h/", "http://h/images/1"),
            ("http://h/api", "http://h/api/images/1"),
            ("http://h/api/", "http://h/api/images/1"),
            ("http://h:81/a/b//", "http://h:81/a/b/images/1"),
        ] {
            assert_eq!(url(base, &["images", "1"]), joined);
        }
    }

    #[test]
    fn a_segment_stays_one_segment() {
        for (id, encoded) in [
            ("a/b", "a%2Fb"),
            ("../x", "..%2Fx"),
            ("a?b#c", "a%3Fb%23c"),
            ("100%", "100%25"),
            ("a b\n\t", "a%20b%0A%09"),
            ("a\\b", "a%5Cb"),
            ("é", "%C3%A9"),
            ("...", "..."),
        ] {
            assert_eq!(url("http://h/v3", &[id]), format!("http://h/v3/{encoded}"));
        }
    }

    #[test]
    fn what_cannot_be_a_segment_is_refused() {
        for id in ["", ".", ".."] {
            assert!(Request::new(Method::GET).path([id]).is_err());
        }
    }

    #[test]
    fn a_query_is_encoded_and_a_given_one_is_kept() {
        let request = Request::new(Method::GET)
            .query("search", "img &+é")
            .query("page", "2");
        let base: Url = "http://h".parse().unwrap();
        assert_eq!(
            request.url(&base).query(),
            Some("search=img+%26%2B%C3%A9&page=2")
        );
        let request = request.raw_query(Some("page=3&x=1,2;3"));
        assert_eq!(request.url(&base).query(), Some("page=3&x=1,2;3"));
    }

    proptest! {
        #[test]
        fn any_id_stays_one_segment_of_the_same_origin(id in ".{1,30}", base in "(/[a-z]{1,5}){0,2}/?") {
            let base: Url = format!("https://example.org:8443{base}").parse().unwrap();
            let Ok(request) = Request::new(Method::GET).path(["images", &id]) else {
                prop_assert!(matches!(id.as_str(), "." | ".."));
                return Ok(());
            };
            let url = request.url(&base);
            prop_assert_eq!(url.origin(), base.origin());
            prop_assert_eq!((url.query(), url.fragment()), (None, None));
            let parsed: Url = url.as_str().parse().unwrap();
            let segments: Vec<_> = parsed.path_segments().unwrap().collect();
            let base_segments = base.path_segments().unwrap().filter(|segment| !segment.is_empty()).count();
            prop_assert_eq!(segments.len(), base_segments + 2);
            let last = percent_encoding::percent_decode_str(segments[base_segments + 1]).decode_utf8().unwrap();
            prop_assert_eq!(last, id);
        }

        #[test]
        fn any_query_comes_out_as_it_went_in(pairs in prop::collection::vec((".{0,10}", ".{0,10}"), 0..4)) {
            let mut request = Request::new(Method::GET);
            for (name, value) in &pairs {
                request = request.query(name, value);
            }
            let url = request.url(&"http://h/api".parse().unwrap());
            let read: Vec<_> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(read, pairs);
        }
    }
}
