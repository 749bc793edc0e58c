//! Big-endian integers and texts in the bytes of an image.

/// Big-endian integers at offsets.
///
/// Bytes past the end read as zero, as QEMU reads past the end of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn u8(self, offset: usize) -> u8 {
        self.array::<1>(offset)[0]
    }

    pub(super) fn u16(self, offset: usize) -> u16 {
        u16::from_be_bytes(self.array(offset))
    }

    pub(super) fn u32(self, offset: usize) -> u32 {
        u32::from_be_bytes(self.array(offset))
    }

    pub(super) fn u64(self, offset: usize) -> u64 {
        u64::from_be_bytes(self.array(offset))
    }

    fn array<const N: usize>(self, offset: usize) -> [u8; N] {
        let mut array = [0; N];
        let bytes = self.0.get(offset..).unwrap_or_default();
        for (to, from) in array.iter_mut().zip(bytes) {
            *to = *from;
        }
        array
    }
}

/// Decodes a text up to the first NUL, with replacement characters for what is not UTF-8.
pub(super) fn text(bytes: &[u8]) -> String {
    let mut parts = bytes.split(|&byte| byte == 0);
    String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_past_the_end_are_zero() {
        assert_eq!(Fields(&[1, 2]).u32(0), 0x0102_0000);
        assert_eq!(Fields(&[1, 2]).u64(9), 0);
    }

    #[test]
    fn a_text_ends_at_the_first_nul() {
        assert_eq!(text(b"raw\0junk"), "raw");
        assert_eq!(text(b"raw"), "raw");
        assert_eq!(text(b""), "");
    }
}
