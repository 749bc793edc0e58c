use hyper::Method;
use percent_encoding::percent_decode_str;

use super::access::AccessPolicy;
use super::answer::Refusal;

/// The maximum length of a path in version 2.
const PATH_LIMIT: usize = 1024;

/// An operation of the API, with its path parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    List,
    Create,
    Show(String),
    Update(String),
    Delete(String),
    /// Lists the available images of a provider.
    Offers(String),
    Providers,
    Templates,
    Filter(String),
    AddToFilter(String),
    RemoveFromFilter(String),
}

impl Route {
    /// Finds the route for a method and a path below the version.
    pub(super) fn find(method: &Method, path: &str, is_v2: bool) -> Result<Self, Refusal> {
        let cleaned;
        let path = if is_v2 {
            cleaned = clean(path);
            &cleaned
        } else {
            path
        };
        // Segments are separated before they are decoded: an id may contain a `%2F`.
        let mut segments = Vec::new();
        for segment in path.split('/').skip(1) {
            let decoded = percent_decode_str(segment).decode_utf8();
            segments.push(decoded.map_err(|_| Refusal::InvalidUtf8)?);
        }
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        Self::of(method, &segments).ok_or(Refusal::NoRoute)
    }

    fn of(method: &Method, segments: &[&str]) -> Option<Self> {
        if segments.contains(&"") {
            return None;
        }
        let is_get = matches!(*method, Method::GET | Method::HEAD);
        Some(match *segments {
            ["images"] if is_get => Self::List,
            ["images", "provider", provider] if is_get => Self::Offers(provider.to_owned()),
            ["image"] if method == Method::POST => Self::Create,
            ["image", id] if is_get => Self::Show(id.to_owned()),
            ["image", id] if method == Method::PUT => Self::Update(id.to_owned()),
            ["image", id] if method == Method::DELETE => Self::Delete(id.to_owned()),
            ["providers"] if is_get => Self::Providers,
            ["templates"] if is_get => Self::Templates,
            ["filter", provider, "images"] if is_get => Self::Filter(provider.to_owned()),
            ["filter", provider, "image"] if method == Method::PUT => {
                Self::AddToFilter(provider.to_owned())
            }
            ["filter", provider, "image"] if method == Method::DELETE => {
                Self::RemoveFromFilter(provider.to_owned())
            }
            _ => return None,
        })
    }

    pub(super) fn policy(&self) -> AccessPolicy {
        match self {
            Self::Create | Self::Update(_) | Self::AddToFilter(_) | Self::RemoveFromFilter(_) => {
                AccessPolicy::CreateImage
            }
            Self::Delete(_) => AccessPolicy::DeleteImage,
            _ => AccessPolicy::ReadImages,
        }
    }

    /// Returns `true` if the request requires a JSON `Content-Type`.
    ///
    /// Version 2 requires one on an update and a deletion, even without a body. The documentation
    /// of version 3 does not.
    pub(super) fn needs_content_type(&self, is_v2: bool) -> bool {
        match self {
            Self::Create | Self::AddToFilter(_) | Self::RemoveFromFilter(_) => true,
            Self::Update(_) | Self::Delete(_) => is_v2,
            _ => false,
        }
    }
}

/// Refuses a request target that version 2 cannot parse.
pub(super) fn check_target(path: &str, query: Option<&str>) -> Result<(), Refusal> {
    let is_valid = |text: &str| {
        let mut escapes = text.split('%').skip(1).map(str::as_bytes);
        escapes.all(|rest| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit))
    };
    if path.len() <= PATH_LIMIT && is_valid(path) && query.is_none_or(is_valid) {
        return Ok(());
    }
    Err(Refusal::BadTarget)
}

/// Resolves dots and slashes, escaped ones too, as version 2 does before routing. So an id with a
/// slash has no route.
fn clean(path: &str) -> String {
    let path = path
        .replace("%2e", ".")
        .replace("%2E", ".")
        .replace("%2f", "/")
        .replace("%2F", "/")
        .replace("%5c", "/")
        .replace("%5C", "/")
        .replace('\\', "/");
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut cleaned = format!("/{}", parts.join("/"));
    if !parts.is_empty() && ["/", "/.", "/.."].iter().any(|end| path.ends_with(end)) {
        cleaned.push('/');
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::{Route, clean};
    use hyper::Method;

    #[test]
    fn version_2_resolves_paths_before_it_routes() {
        for (path, cleaned) in [
            ("/image/a%2Fb", "/image/a/b"),
            ("/image/a%252Fb", "/image/a%252Fb"),
            ("/image/%2e%2E", "/"),
            ("/image/a%5cb", "/image/a/b"),
            ("//images", "/images"),
            ("/images/", "/images/"),
            ("", "/"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }

    #[test]
    fn version_3_keeps_slashes_in_ids() {
        let route = Route::find(&Method::GET, "/image/a%2Fb", false);
        assert_eq!(route.ok(), Some(Route::Show("a/b".to_owned())));
        assert!(Route::find(&Method::GET, "/image/a%2Fb", true).is_err());
        assert!(Route::find(&Method::GET, "/image/%FF", true).is_err());
    }
}
