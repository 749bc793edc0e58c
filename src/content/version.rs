//! The version of an image, which all answers of one transfer must agree on.

use jiff::Timestamp;

/// The headers that tell one version of an image from another, as far as the server sends them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    /// A strong entity tag, or else the date of the last change.
    pub(crate) validator: Option<String>,
    /// The length of the image in bytes.
    pub(crate) total: Option<u64>,
    /// The time of the last change, which need not tell versions apart.
    pub(crate) modified: Option<Timestamp>,
}

impl Version {
    /// Returns `true` if ranges of this version can be put together.
    #[cfg(feature = "fs")]
    pub(crate) fn is_fixed(&self) -> bool {
        self.validator.is_some() && self.total.is_some()
    }

    pub(super) fn is(&self, validator: &str) -> bool {
        self.validator.as_deref() == Some(validator)
    }

    /// Compares a later version with this one and adds the length if the later one lacks it. The
    /// error says what differs.
    pub(crate) fn agree(&self, later: Self) -> Result<Self, &'static str> {
        let differs = |then| later.total.is_some_and(|now| now != then);
        if self.total.is_some_and(differs) {
            return Err("the image has another length than before");
        }
        if self.validator.is_some() && self.validator != later.validator {
            return Err("the image is another than when the fetch began");
        }
        let total = later.total.or(self.total);
        Ok(Self { total, ..later })
    }
}
