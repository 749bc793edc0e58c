//! The origin of a URL, and the part of it that may be shown.

use url::Url;

pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.origin() == b.origin()
}

/// Returns a URL without userinfo, query and fragment.
pub(crate) fn public_url(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for URLs that have no userinfo.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
