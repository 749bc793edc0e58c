//! The links between pages.

use url::Url;

use super::Cursor;
use crate::transport::same_origin;

/// The links of a page, made safe to follow: only forward, and only on the same origin.
pub(crate) struct PageLinks {
    pub(crate) next: Option<Cursor>,
    pub(crate) previous: Option<u64>,
}

impl PageLinks {
    /// Parses the targets of a page's links, absolute or relative to the page's own URL.
    ///
    /// Uses only the query of a link, as a proxy may have rewritten the path. Accepts only a next
    /// page with a higher number: real servers link the last page to itself, an empty list to page
    /// 0, and a page past the end to an earlier one.
    pub(crate) fn new(
        url: &Url,
        number: u64,
        is_empty: bool,
        next: Option<&str>,
        previous: Option<&str>,
    ) -> Result<Self, String> {
        let resolve = |target: &str| {
            let target = url
                .join(target)
                .map_err(|_| "a link of the list is not a URL".to_owned())?;
            if !same_origin(&target, url) {
                let origin = target.origin().ascii_serialization();
                return Err(format!(
                    "a link of the list leads to another origin: {origin}"
                ));
            }
            Ok(target)
        };
        let next = match next {
            Some(target) if !is_empty => {
                let target = resolve(target)?;
                let query = target.query().map(str::to_owned);
                let cursor = Cursor {
                    number: page_number(&target)?,
                    query,
                };
                (cursor.number > number).then_some(cursor)
            }
            _ => None,
        };
        let previous = match previous {
            Some(target) => Some(page_number(&resolve(target)?)?),
            None => None,
        };
        let previous = previous.filter(|&page| page > 0 && page < number);
        Ok(Self { next, previous })
    }
}

/// Returns the page number in a link. A link without one is to the first page.
fn page_number(url: &Url) -> Result<u64, String> {
    let mut pairs = url.query_pairs();
    match pairs.find(|(name, _)| name == "page") {
        Some((_, text)) => text
            .parse()
            .map_err(|_| "the page in a link of the list is not a number".to_owned()),
        None => Ok(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn next(number: u64, target: &str) -> Result<Option<u64>, String> {
        let url = "http://h:80/api/images?page=2".parse().unwrap();
        let links = PageLinks::new(&url, number, false, Some(target), None)?;
        Ok(links.next.map(|cursor| cursor.number))
    }

    #[test]
    fn only_a_later_page_is_next() {
        for (number, target, expected) in [
            (1, "/api/images?page=2", Some(2)),
            (3, "/api/images?page=3", None),
            (1, "?page=0", None),
            (4, "/api/images?page=2", None),
            (1, "http://h/api/images?page=2&search=x", Some(2)),
            (1, "/rewritten?page=7", Some(7)),
            (1, "/api/images", None),
        ] {
            assert_eq!(next(number, target), Ok(expected), "{target}");
        }
    }

    #[test]
    fn a_link_that_cannot_be_followed_is_an_error() {
        assert!(next(1, "/api/images?page=x").is_err());
        assert!(next(1, "http://[").is_err());
    }

    #[test]
    fn no_link_leaves_the_origin() {
        for target in [
            "https://h/i?page=3",
            "http://other/i?page=3",
            "//other/i?page=3",
        ] {
            assert!(next(1, target).is_err(), "{target}");
        }
    }

    #[test]
    fn an_empty_page_is_the_last() {
        let url = "http://h/images?page=4".parse().unwrap();
        let links = PageLinks::new(&url, 4, true, Some("?page=5"), Some("?page=3")).unwrap();
        assert!(links.next.is_none());
        assert_eq!(links.previous, Some(3));
    }

    proptest! {
        #[test]
        fn any_link_leads_forward_on_the_origin_or_nowhere(
            target in "(http://h)?(/[a-z.]{0,4}){0,3}[?](page=[0-9]{1,3}|[a-z=&]{0,9})|(//|[a-z]{1,5}:)?.{0,30}",
            number in 1_u64..50,
        ) {
            let url = "http://h/api/images?page=2".parse().unwrap();
            if let Ok(links) = PageLinks::new(&url, number, false, Some(&target), Some(&target)) {
                let next = links.next.map(|cursor| cursor.number);
                prop_assert!(next.is_none_or(|next| next > number), "{:?}", next);
                prop_assert!(links.previous.is_none_or(|page| page > 0 && page < number));
            }
        }
    }
}
