//! The two servers of a copy.

use std::fmt;

/// The server that an error of a [copy](crate::djinn::Images::copy) is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Side {
    /// The server that is read from.
    Source,
    /// The server that is written to.
    Target,
}

/// `source` or `target`.
impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}
