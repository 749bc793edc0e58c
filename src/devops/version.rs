//! The versions of the API, and where they are.

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
    /// The path of the version below the service.
    fn segment(self) -> &'static str {
        match self {
            Self::V2 => "v2.0",
            Self::V3 => "v3",
        }
    }

    /// The version that the end of a URL names.
    pub(super) fn named_by(url: &Url) -> Option<Self> {
        let path = url.path().trim_end_matches('/');
        let last = path.rsplit('/').next()?;
        let mut versions = [Self::V2, Self::V3].into_iter();
        versions.find(|version| version.segment() == last)
    }
}

/// Where the API is: at a base URL that names its version, or below it.
pub(super) fn locate(mut base: Url, set: Option<ApiVersion>) -> Result<Url> {
    let set = set.map(ApiVersion::segment);
    let named = ApiVersion::named_by(&base).map(ApiVersion::segment);
    let segment = match (named, set) {
        (Some(named), Some(set)) if named != set => {
            let message = format!("the base URL ends in /{named}, and the API version is {set}");
            return Err(Error::invalid(message));
        }
        (Some(_), _) => return Ok(base),
        (None, set) => set.unwrap_or(ApiVersion::default().segment()),
    };
    let path = format!("{}/{segment}", base.path().trim_end_matches('/'));
    base.set_path(&path);
    Ok(base)
}
