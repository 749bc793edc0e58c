//! The credentials that a client sends, and their secrets.

use percent_encoding::percent_decode_str;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::error::{Error, Result};

pub(crate) enum Credentials {
    None,
    Bearer(SecretString),
    Basic(String, SecretString),
}

impl Credentials {
    /// The header's value, and what must never be shown.
    pub(crate) fn header(
        &self,
        any: reqwest::RequestBuilder,
    ) -> Result<(Option<HeaderValue>, Vec<SecretString>)> {
        let (secret, request) = match self {
            Self::None => return Ok((None, Vec::new())),
            Self::Bearer(token) => {
                let text = token.expose_secret();
                if text.is_empty() || text.contains(char::is_whitespace) {
                    return Err(Error::invalid(
                        "the token is empty or has white space in it",
                    ));
                }
                (token, any.bearer_auth(text))
            }
            Self::Basic(user, _) if user.contains(':') => {
                return Err(Error::invalid("the user's name has a colon in it"));
            }
            Self::Basic(user, password) => (
                password,
                any.basic_auth(user, Some(password.expose_secret())),
            ),
        };
        let request = request.build().ok();
        let value = request.and_then(|mut request| request.headers_mut().remove(AUTHORIZATION));
        let value = value.ok_or_else(|| Error::invalid("the token cannot be sent in a header"))?;
        let sent = value.to_str().unwrap_or_default();
        let sent = sent.split_once(' ').map_or(sent, |(_, encoded)| encoded);
        let mut secrets = vec![secret.clone(), sent.into()];
        secrets.retain(|secret| !secret.expose_secret().is_empty());
        Ok((Some(value), secrets))
    }
}

/// A proxy's password, as it is written, meant and sent.
pub(crate) fn proxy_login(proxy: &SecretString, any: reqwest::RequestBuilder) -> Vec<SecretString> {
    let url = Url::parse(proxy.expose_secret()).ok();
    let Some((url, password)) = url.as_ref().and_then(|url| Some((url, url.password()?))) else {
        return Vec::new();
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let plain = decoded(password);
    let login = Credentials::Basic(decoded(url.username()), plain.clone().into());
    let sent = login.header(any).map_or(Vec::new(), |(_, secrets)| secrets);
    [password.into(), plain.into()]
        .into_iter()
        .chain(sent)
        .collect()
}
