//! The captured exchanges: their answers to the byte, and their requests to compare with.

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::support::raw::{Answer, Received, Then};

#[derive(Deserialize)]
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) request: Request,
    pub(crate) response: Response,
}

#[derive(Deserialize)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    pub(crate) json: Option<Value>,
    pub(crate) text: Option<String>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The length that was announced; a body without one ends with the connection.
    pub(crate) fn length(&self) -> Option<usize> {
        self.header("content-length")
            .map(|text| text.parse().unwrap())
    }
}

pub(crate) fn find<'a>(exchanges: &'a [Exchange], name: &str) -> &'a Exchange {
    let found = exchanges.iter().find(|exchange| exchange.name == name);
    found.unwrap_or_else(|| panic!("no exchange {name}"))
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut headers = headers.iter();
    let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

impl Exchange {
    /// The captured answer with this body.
    pub(crate) fn answer_with(&self, body: &[u8]) -> Answer {
        let mut bytes = format!("HTTP/1.1 {} Replayed\r\n", self.response.status).into_bytes();
        for (name, value) in &self.response.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        if let Some(length) = self.response.length() {
            assert_eq!(body.len(), length, "{}: the body's length", self.name);
        }
        bytes.extend_from_slice(body);
        let closes = self.response.header("connection") == Some("close");
        let then = if closes { Then::Close } else { Then::KeepAlive };
        Answer::new(bytes, then)
    }

    /// The type that was asked for. `*/*` is the same as JSON, but to a server that refuses it.
    fn accept(&self) -> Option<&str> {
        match self.request.header("accept") {
            Some("*/*") if self.response.status != 406 => Some("application/json"),
            accept => accept,
        }
    }

    /// Whether this is the request that was captured.
    pub(crate) fn is_request(&self, sent: &Received, base: &str) -> bool {
        let captured = |name: &str| self.request.header(name);
        let url = |target: &str| Url::parse(base).unwrap().join(target).unwrap();
        let parts = |url: Url| {
            let mut query: Vec<_> = url.query_pairs().into_owned().collect();
            query.sort();
            (url.path().to_owned(), query)
        };
        let accepts = self.request.headers.iter();
        let accepts = accepts.filter(|(name, _)| name == "Accept").count();
        let json = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
        let body = self.request.body.as_ref().map(|body| body.as_bytes());
        let foreign = [
            "if-match",
            "if-modified-since",
            "accept-encoding",
            "expect",
            "cookie",
            "origin",
            "referer",
            "x-http-method-override",
        ];
        let same = [
            "range",
            "if-range",
            "authorization",
            "content-type",
            "content-encoding",
        ];
        let is_json = captured("content-type") == Some("application/json");
        self.request.method == sent.method
            && parts(url(&self.request.target)) == parts(url(&sent.target))
            && accepts == 1
            && self.accept() == sent.header("accept")
            && foreign.iter().all(|name| captured(name).is_none())
            && same.iter().all(|name| captured(name) == sent.header(name))
            && match (is_json, body) {
                (true, Some(body)) => json(body) == json(&sent.body),
                (_, Some(body)) => body == sent.body,
                (_, None) => captured("content-length") == sent.header("content-length"),
            }
    }
}
