//! Rules for accepting images.

use std::collections::BTreeMap;

use super::report::{Code, Severity};

/// Rules for accepting images: the severity of each finding, and a limit on the virtual size.
///
/// By default, rejects images that make QEMU read other files of its host, that QEMU refuses to
/// open, or that are truncated, and warns about images that are legal but rarely intended. [`Code`]
/// has a table of the default severities.
///
/// ```
/// use machine_images::qcow2::{Code, Policy, Severity};
///
/// // A backing file is rejected already.
/// assert_eq!(Policy::default().severity(Code::BackingFile), Severity::Reject);
/// let strict = Policy::default()
///     .reject(Code::Encrypted)
///     .reject(Code::Corrupt)
///     .max_virtual_size(1 << 40);
/// assert_eq!(strict.severity(Code::Encrypted), Severity::Reject);
///
/// // Only for images that are trusted: QEMU opens the file that they name.
/// let overlays = Policy::default().allow(Code::BackingFile);
/// assert_eq!(overlays.severity(Code::BackingFile), Severity::Note);
/// ```
#[doc(alias = "verify")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    severities: BTreeMap<Code, Severity>,
    max_virtual_size: Option<u64>,
}

impl Policy {
    /// Accepts images with this finding. The report still has it, as a [`Severity::Note`].
    #[must_use]
    pub fn allow(self, code: Code) -> Self {
        self.set(code, Severity::Note)
    }

    /// Warns about images with this finding.
    #[must_use]
    pub fn warn(self, code: Code) -> Self {
        self.set(code, Severity::Warn)
    }

    /// Rejects images with this finding.
    #[must_use]
    pub fn reject(self, code: Code) -> Self {
        self.set(code, Severity::Reject)
    }

    /// Sets the maximum virtual size in bytes. Unlimited by default.
    ///
    /// A small file can have a virtual size of exabytes, and fill the host that converts it to raw.
    #[must_use]
    pub fn max_virtual_size(mut self, bytes: u64) -> Self {
        self.max_virtual_size = Some(bytes);
        self
    }

    /// Returns the severity of this finding.
    #[must_use]
    pub fn severity(&self, code: Code) -> Severity {
        self.severities
            .get(&code)
            .copied()
            .unwrap_or(code.default_severity())
    }

    pub(super) fn virtual_size_limit(&self) -> Option<u64> {
        self.max_virtual_size
    }

    fn set(mut self, code: Code, severity: Severity) -> Self {
        self.severities.insert(code, severity);
        self
    }
}
