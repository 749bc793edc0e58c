/// The URL of a download job, in lower case.
#[derive(Clone, Debug)]
pub(super) struct DownloadUrl {
    url: String,
    user: Option<String>,
    password: Option<String>,
    /// Everything after `scheme://userinfo@`.
    rest: String,
}

/// The reason that a URL is invalid.
#[derive(Debug)]
pub(super) enum DownloadUrlError {
    /// The server cannot parse the URL, and fails.
    Unparsable(String),
    /// The server refuses the URL.
    Refused(&'static str),
}

impl DownloadUrl {
    pub(super) fn parse(url: &str) -> Result<Self, DownloadUrlError> {
        let broken =
            |problem: &str| DownloadUrlError::Unparsable(format!("parse {url:?}: {problem}"));
        if url.chars().any(|c| c.is_ascii_control()) {
            return Err(broken("net/url: invalid control character in URL"));
        }
        let lower = url.to_lowercase();
        let (scheme, after) = match lower.split_once(':') {
            Some(("", _)) => return Err(broken("missing protocol scheme")),
            Some((scheme, after)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                (scheme, after)
            }
            _ => ("", lower.as_str()),
        };
        let after = after.strip_prefix("//").unwrap_or_default();
        let authority_end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (userinfo, host) = match after[..authority_end].rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, &after[..authority_end]),
        };
        if host.contains(' ') {
            return Err(broken("invalid character \" \" in host name"));
        }
        if host.starts_with('[') && !host.contains(']') {
            return Err(broken("missing ']' in host"));
        }
        let password = userinfo
            .and_then(|userinfo| userinfo.split_once(':'))
            .map(|p| p.1);
        match scheme {
            "http" | "https" => {}
            "sftp" if password.is_some() => {}
            "sftp" => return Err(DownloadUrlError::Refused("missing password from SFTP URL")),
            _ => return Err(DownloadUrlError::Refused("invalid url scheme")),
        }
        Ok(Self {
            user: userinfo.map(|info| info.split(':').next().unwrap_or_default().to_owned()),
            password: password.map(str::to_owned),
            rest: format!("{host}{}", &after[authority_end..]),
            url: lower,
        })
    }

    /// Returns the URL to fetch.
    pub(super) fn as_str(&self) -> &str {
        &self.url
    }

    pub(super) fn is_sftp(&self) -> bool {
        self.url.starts_with("sftp:")
    }

    pub(super) fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Returns `host:port`, or `host` without a port.
    pub(super) fn host(&self) -> &str {
        self.rest.split(['/', '?', '#']).next().unwrap_or_default()
    }

    /// Returns the URL with its password replaced.
    pub(super) fn redacted(&self) -> String {
        let scheme = self.url.split(':').next().unwrap_or_default();
        match (&self.user, &self.password) {
            (Some(user), Some(_)) => format!("{scheme}://{user}:xxxxx@{}", self.rest),
            _ => self.url.clone(),
        }
    }
}
