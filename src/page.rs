//! Pages of a list, and streams over them.

mod items;
mod links;
mod pages;
mod prefetch;

pub(crate) use items::Items;
pub(crate) use links::PageLinks;
pub(crate) use pages::{consistent, pages};

/// One page of a list.
///
/// Streams follow the pages by themselves; a page is for those who show a list piece by piece.
///
/// ```
/// # async fn example(images: machine_images::djinn::Images) -> machine_images::Result<()> {
/// let page = images.list().page(2).await?;
/// println!("page {}: {} images", page.number, page.items.len());
///
/// if let Some(next) = page.next {
///     let page = images.list().page(next).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[doc(alias = "pagination")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items on the page.
    pub items: Vec<T>,
    /// The number of the page, from 1.
    pub number: u64,
    /// The number of the next page, or `None` on the last page.
    pub next: Option<u64>,
    /// The number of the previous page, or `None` on the first page.
    pub previous: Option<u64>,
    pub(crate) next_cursor: Option<Cursor>,
}

/// The position of a page: its number, and the query that the server gave for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) number: u64,
    pub(crate) query: Option<String>,
}
