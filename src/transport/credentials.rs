//! Credentials: the header they are sent in, and the texts that must not be shown.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::RequestBuilder;
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
    /// Returns the header's value, and the texts that must not be shown.
    ///
    /// The header is taken from `request`, which is never sent.
    pub(crate) fn header(
        &self,
        request: RequestBuilder,
    ) -> Result<(Option<HeaderValue>, Vec<SecretString>)> {
        let (secret, request) = match self {
            Self::None => return Ok((None, Vec::new())),
            Self::Bearer(token) => {
                let text = token.expose_secret();
                if text.is_empty() || text.contains(char::is_whitespace) {
                    return Err(Error::invalid("the token is empty or contains white space"));
                }
                (token, request.bearer_auth(text))
            }
            Self::Basic(user, _) if user.contains(':') => {
                return Err(Error::invalid("the user's name contains a colon"));
            }
            Self::Basic(user, password) => {
                let request = request.basic_auth(user, Some(password.expose_secret()));
                (password, request)
            }
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

/// Adds to the secrets of a login that of the proxy that is set, or else those of the proxies that the
/// HTTP client takes from the environment, and the percent-encoded form of each.
pub(crate) fn all_secrets(
    mut secrets: Vec<SecretString>,
    proxy: Option<&SecretString>,
    request: impl Fn() -> RequestBuilder,
) -> Vec<SecretString> {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');

    let proxies = match proxy {
        Some(proxy) => vec![proxy.clone()],
        None => proxies_of_environment(),
    };
    for proxy in proxies {
        secrets.extend(proxy_login(&proxy, request()));
    }
    for index in 0..secrets.len() {
        let secret = secrets[index].expose_secret();
        let encoded = utf8_percent_encode(secret, ESCAPED).to_string();
        if encoded != secret {
            secrets.push(encoded.into());
        }
    }
    secrets
}

fn proxies_of_environment() -> Vec<SecretString> {
    let names = ["http_proxy", "https_proxy", "all_proxy"]
        .map(|name| [name.to_owned(), name.to_uppercase()]);
    let mut proxies: Vec<_> = names
        .into_iter()
        .flatten()
        .filter_map(|name| std::env::var(name).ok())
        .collect();
    proxies.sort_unstable();
    proxies.dedup();
    proxies.into_iter().map(Into::into).collect()
}

/// Returns the password in a proxy's URL, or else the user: percent-encoded, decoded, and as it is
/// sent.
fn proxy_login(proxy: &SecretString, request: RequestBuilder) -> Vec<SecretString> {
    let text = proxy.expose_secret();
    let url = Url::parse(text).ok().filter(Url::has_host);
    // The HTTP client takes one without a scheme as well.
    let url = url.or_else(|| Url::parse(&format!("http://{text}")).ok());
    let Some(url) = url else {
        return Vec::new();
    };
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = (url.username(), url.password().unwrap_or_default());
    let secret = if password.is_empty() { user } else { password };
    if secret.is_empty() {
        return Vec::new();
    }
    let login = Credentials::Basic(decode(user), decode(password).into());
    let sent = login.header(request);
    let sent = sent.map_or(Vec::new(), |(_, secrets)| secrets);
    let mut secrets = vec![secret.into(), decode(secret).into()];
    secrets.extend(sent);
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_its_login_with_and_without_a_scheme() {
        for (proxy, sent) in [
            ("http://u:s3cr3t%21@proxy:3128", "dTpzM2NyM3Qh"),
            ("u:s3cr3t%21@proxy:3128", "dTpzM2NyM3Qh"),
            ("http://s3cr3t%21@proxy", "czNjcjN0ITo="),
            ("http://s3cr3t%21:@proxy", "czNjcjN0ITo="),
        ] {
            let request = reqwest::Client::new().get("http://h");
            let secrets = proxy_login(&proxy.into(), request);
            let secrets: Vec<_> = secrets.iter().map(ExposeSecret::expose_secret).collect();
            assert_eq!(secrets[..2], ["s3cr3t%21", "s3cr3t!"], "{proxy}");
            assert_eq!(secrets.last(), Some(&sent), "{proxy}");
        }
    }
}
