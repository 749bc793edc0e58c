//! The LUKS header of an encrypted image.

use super::examination::Examination;
use super::extents::Unread;
use super::header::Header;
use super::report::Code;

/// Length of the fixed part of a LUKS header.
pub(super) const LUKS_HEADER: u64 = 592;
/// The magic and version 1.
const MAGIC: &[u8] = b"LUKS\xba\xbe\0\x01";

impl Examination<'_> {
    /// Checks that there is a LUKS header at the offset that the image gives.
    pub(super) fn examine_luks(&mut self, header: &Header) -> Result<(), Unread> {
        let Some(table) = header.luks_header else {
            return Ok(());
        };
        if self.report.has(Code::EncryptionHeader) {
            return Ok(());
        }
        let luks = self.read(table.offset, LUKS_HEADER, "the LUKS header")?;
        if luks.is_some_and(|luks| !luks.starts_with(MAGIC)) {
            let message = format!("there is no LUKS header at {}", table.offset);
            self.add(Code::EncryptionHeader, table.offset, message);
        }
        Ok(())
    }
}
