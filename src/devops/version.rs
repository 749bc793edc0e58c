//! The versions of the API, and where they are.

use url::Url;

use crate::client::ClientBuilder;
use crate::error::{Error, Result};

use super::Client;

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

impl ClientBuilder<Client> {
    /// Sets the version of the API. Defaults to the one that the base URL ends in, and to
    /// [`V3`](ApiVersion::V3) if it names none.
    ///
    /// These are the same client:
    ///
    /// ```
    /// use machine_images::devops::{ApiVersion, Client};
    ///
    /// # fn example() -> machine_images::Result<()> {
    /// let client = Client::builder("https://devops.example.org")
    ///     .api_version(ApiVersion::V2)
    ///     .build()?;
    /// let client = Client::builder("https://devops.example.org/v2.0").build()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A base URL that ends in another version is refused by [`build`](Self::build).
    pub fn api_version(self, version: ApiVersion) -> Self {
        self.set_version(version.segment())
    }
}

/// Where the API is: at a base URL that names its version, or below it.
pub(super) fn locate(mut base: Url, set: Option<&'static str>) -> Result<Url> {
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
