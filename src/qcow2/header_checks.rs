//! Checks of the fixed part of a header.

use super::examination::Examination;
use super::extents::Unread;
use super::fields::{Fields, text};
use super::header::{
    self, Compression, DataFile, Encryption, Feature, FeatureKind, Features, Header, NAME_MAX,
    RAW_DATA,
};
use super::header_fields::LENGTH_V3;
use super::report::Code;

impl Examination<'_> {
    pub(super) fn check_length(&mut self, header: &Header) {
        let length = header.header_length;
        if header.version == 3 && (length < LENGTH_V3 || length % 8 != 0) {
            let message =
                format!("a header length of {length} bytes is not a multiple of 8 from 104 on");
            self.add(Code::HeaderLength, 100, message);
        }
        if u64::from(length) > header.cluster_size {
            let message = format!("a header of {length} bytes does not fit into the first cluster");
            self.add(Code::HeaderLength, 100, message);
        }
        if let Some(total) = self.total().filter(|&total| total < length.into()) {
            let message = "the file ends before the end of the header";
            self.add(Code::Truncated, total, message);
        }
    }

    pub(super) fn check_fields(&mut self, header: &Header, fixed: Fields<'_>) {
        if let Some(Encryption::Other(method)) = header.encryption {
            let message = format!("encryption method {method} is unknown");
            self.add(Code::EncryptionMethod, 32, message);
        }
        let flagged = header.features.incompatible & header::COMPRESSION != 0;
        match header.compression {
            Compression::Other(kind) => {
                let message = format!("compression type {kind} is unknown");
                self.add(Code::CompressionType, 104, message);
            }
            kind if flagged != (kind == Compression::Zstd) => {
                let message = "the compression type and its feature bit contradict each other";
                self.add(Code::CompressionType, 104, message);
            }
            _ => {}
        }
        if header.features.extended_l2() && header.cluster_size < 16 << 10 {
            let message = "extended L2 entries need clusters of at least 16 KiB";
            self.add(Code::SubclusterSize, 72, message);
        }
        if header.version == 3 && fixed.u32(96) > 6 {
            let message = format!("refcounts of 2^{} bits exceed 64 bits", fixed.u32(96));
            self.add(Code::RefcountBits, 96, message);
        }
    }

    pub(super) fn read_backing_name(
        &mut self,
        header: &mut Header,
        fixed: Fields<'_>,
    ) -> Result<(), Unread> {
        let (offset, length) = (fixed.u64(8), fixed.u32(16));
        if offset == 0 {
            return Ok(());
        }
        header.backing_file = Some(String::new());
        let room = header.cluster_size.checked_sub(offset);
        if length > NAME_MAX || room.is_none_or(|room| u64::from(length) > room) {
            let message = format!(
                "the backing file name ({length} bytes at {offset}) is too long or outside the \
                 first cluster"
            );
            self.add(Code::NameOutOfBounds, 8, message);
            return Ok(());
        }
        let name = self.read(offset, length.into(), "the backing file name")?;
        header.backing_file = Some(text(name.unwrap_or_default()));
        Ok(())
    }

    pub(super) fn check_unknown_features(&mut self, features: &Features) {
        for Feature { kind, bit, name } in &features.unknown {
            let (code, offset, set) = match kind {
                FeatureKind::Incompatible => (Code::UnknownFeature, 72, "incompatible"),
                FeatureKind::Compatible => (Code::UnknownOptionalFeature, 80, "compatible"),
                FeatureKind::Autoclear => (Code::UnknownOptionalFeature, 88, "autoclear"),
            };
            let message = match name {
                Some(name) => format!("{set} feature bit {bit} ({name:?}) is unknown"),
                None => format!("{set} feature bit {bit} is unknown"),
            };
            self.add(code, offset, message);
        }
    }

    /// Checks for files that QEMU would open because the image names them.
    pub(super) fn check_external_files(&mut self, header: &Header) {
        if let Some(name) = &header.backing_file {
            let message = format!("QEMU would also read the backing file {name:?}");
            self.add(Code::BackingFile, 8, message);
        }
        match &header.data_file {
            Some(DataFile {
                name: Some(name), ..
            }) => {
                let message = format!("QEMU would also read the external data file {name:?}");
                self.add(Code::DataFile, 72, message);
            }
            Some(DataFile { name: None, .. }) => {
                let message = "the guest's data is in an external data file without a name";
                self.add(Code::DataFile, 72, message);
            }
            None if header.features.autoclear & RAW_DATA != 0 => {
                let message = "the external data file is marked as raw, but there is none";
                self.add(Code::DataFile, 88, message);
            }
            None => {}
        }
    }

    /// Adds what is legal in an image but rarely intended.
    pub(super) fn check_warnings(&mut self, header: &Header) {
        if header.version == 2 {
            let message = "version 2 of the format has been obsolete since 2013";
            self.add(Code::Version2, 4, message);
        }
        if header.encryption.is_some() {
            self.add(Code::Encrypted, 32, "the guest's data is encrypted");
        }
        if header.features.dirty() {
            let message = "the image was not closed properly and needs a repair";
            self.add(Code::Dirty, 72, message);
        }
        if header.features.corrupt() {
            self.add(Code::Corrupt, 72, "the image is marked as corrupt");
        }
        if header.snapshot_table.entries > 0 {
            let message = format!("internal snapshots: {}", header.snapshot_table.entries);
            self.add(Code::InternalSnapshots, 60, message);
        }
        if header.bitmap_directory.entries > 0 {
            let message = format!("dirty bitmaps: {}", header.bitmap_directory.entries);
            self.add(Code::Bitmaps, header.bitmap_directory.offset, message);
        }
    }

    pub(super) fn check_virtual_size_limit(&mut self, header: &Header) {
        let (size, limit) = (header.virtual_size, self.policy.virtual_size_limit());
        if let Some(limit) = limit.filter(|&limit| size > limit) {
            let message = format!("a virtual size of {size} bytes exceeds the limit of {limit}");
            self.add(Code::VirtualSizeLimit, 24, message);
        }
    }
}
