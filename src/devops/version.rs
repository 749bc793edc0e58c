//! The versions of the API, and their paths.

use url::Url;

use crate::error::{Error, Result};

/// A version of the service's API.
///
/// It decides the path of every request, and how an image is updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApiVersion {
    /// Version 2, below `/v2.0`.
    V2,
    /// Version 3, below `/v3`.
    #[default]
    V3,
}

impl ApiVersion {
    fn segment(self) -> &'static str {
        match self {
            Self::V2 => "v2.0",
            Self::V3 => "v3",
        }
    }

    /// Returns the version that a URL ends in.
    pub(super) fn named_by(url: &Url) -> Option<Self> {
        let path = url.path().trim_end_matches('/');
        let last = path.rsplit('/').next()?;
        let mut versions = [Self::V2, Self::V3].into_iter();
        versions.find(|version| version.segment() == last)
    }
}

/// Returns the URL of the API: a base URL that ends in a version, or the version appended to it.
pub(super) fn locate(mut base: Url, set: Option<ApiVersion>) -> Result<Url> {
    match (ApiVersion::named_by(&base), set) {
        (Some(named), Some(set)) if named != set => {
            let (named, set) = (named.segment(), set.segment());
            let message = format!("the base URL ends in /{named}, but the API version is {set}");
            Err(Error::invalid(message))
        }
        (Some(_), _) => Ok(base),
        (None, set) => {
            let segment = set.unwrap_or_default().segment();
            let path = format!("{}/{segment}", base.path().trim_end_matches('/'));
            base.set_path(&path);
            Ok(base)
        }
    }
}
