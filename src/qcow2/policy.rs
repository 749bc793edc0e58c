//! What a caller lets pass.

use std::collections::BTreeMap;

use super::{Code, Severity};

/// Decides how much each finding weighs, and how large an image may be.
///
/// The default rejects what makes QEMU read other files of its host, what QEMU itself refuses
/// and what is truncated; it warns of what is legal but seldom meant
/// ([`Code::default_severity`] has the list).
///
/// ```
/// use machine_images::qcow2::{Code, Policy, Severity};
///
/// let policy = Policy::default()
///     .allow(Code::BackingFile)
///     .reject(Code::Encrypted)
///     .max_virtual_size(1 << 40);
/// assert_eq!(policy.severity(Code::BackingFile), Severity::Note);
/// assert_eq!(policy.severity(Code::Encrypted), Severity::Reject);
/// assert_eq!(policy.severity(Code::DataFile), Severity::Reject);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    severities: BTreeMap<Code, Severity>,
    max_virtual_size: Option<u64>,
}

impl Policy {
    /// Lets findings of this kind pass; the report still notes them.
    #[must_use]
    pub fn allow(self, code: Code) -> Self {
        self.weigh(code, Severity::Note)
    }

    /// Warns of findings of this kind.
    #[must_use]
    pub fn warn(self, code: Code) -> Self {
        self.weigh(code, Severity::Warn)
    }

    /// Rejects images with findings of this kind.
    #[must_use]
    pub fn reject(self, code: Code) -> Self {
        self.weigh(code, Severity::Reject)
    }

    /// The largest virtual size, in bytes; there is none by default. A small file may promise a
    /// disk of exabytes, which fills the host that converts it.
    #[must_use]
    pub fn max_virtual_size(mut self, bytes: u64) -> Self {
        self.max_virtual_size = Some(bytes);
        self
    }

    /// How much a finding of this kind weighs.
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

    fn weigh(mut self, code: Code, severity: Severity) -> Self {
        self.severities.insert(code, severity);
        self
    }
}
