//! The header extensions: typed records between the header and the backing file name.

use super::examination::Examination;
use super::extents::Unread;
use super::fields::{Fields, text};
use super::header::{self, Encryption, FeatureKind, Features, Header, NAME_MAX, Table};
use super::luks::LUKS_HEADER;
use super::report::Code;

const END: u32 = 0;
const BACKING_FORMAT: u32 = 0xE279_2ACA;
const FEATURE_NAMES: u32 = 0x6803_F857;
const BITMAPS: u32 = 0x2385_2875;
const LUKS: u32 = 0x0537_BE77;
const DATA_FILE: u32 = 0x4441_5441;

/// Maximum number of extensions to inspect. QEMU writes five kinds.
const EXTENSIONS_MAX: usize = 128;
/// Maximum length of a backing format's name that QEMU accepts.
const FORMAT_NAME_MAX: u64 = 15;
/// Length of an entry of the feature name table: kind, bit and 46 bytes of name.
const FEATURE_NAME: u64 = 48;
/// Maximum number of feature names to inspect: the number of bits in the three sets.
const FEATURE_NAMES_MAX: u64 = 3 * 64;
const BITMAPS_COUNT_MAX: u64 = 65_535;
const BITMAP_DIRECTORY_MAX: u64 = BITMAPS_COUNT_MAX * 1024;
/// The part of the image that a truncated extension belongs to.
const PART: &str = "the header extensions";

impl Examination<'_> {
    /// Examines the extensions, which end at the backing file name or with the first cluster.
    pub(super) fn examine_extensions(
        &mut self,
        header: &mut Header,
        backing_name: u64,
    ) -> Result<(), Unread> {
        let end = match backing_name {
            0 => header.cluster_size,
            name => name.min(header.cluster_size),
        };
        let mut offset = u64::from(header.header_length);
        let mut count = 0;
        while offset < end {
            let data = offset + 8;
            if data > end {
                return self.add_bad_extension(offset, "is cut off");
            }
            let Some(start) = self.read(offset, 8, PART)? else {
                return Ok(());
            };
            let (kind, length) = (Fields(start).u32(0), u64::from(Fields(start).u32(4)));
            if length > end - data {
                return self.add_bad_extension(offset, "does not fit into the first cluster");
            }
            if kind == END {
                break;
            }
            if count == EXTENSIONS_MAX {
                return self.add_too_many(offset, &format!("{count} header extensions"));
            }
            count += 1;
            self.examine_extension(header, kind, offset, length)?;
            offset = data + length.next_multiple_of(8);
        }
        if header.encryption == Some(Encryption::Luks) && header.luks_header.is_none() {
            let message = "the image is encrypted but has no LUKS header";
            self.add(Code::EncryptionHeader, 32, message);
        }
        Ok(())
    }

    fn add_bad_extension(&mut self, offset: u64, problem: &str) -> Result<(), Unread> {
        let message = format!("the header extension at {offset} {problem}");
        self.add(Code::HeaderExtension, offset, message);
        Ok(())
    }

    fn add_too_many(&mut self, offset: u64, limit: &str) -> Result<(), Unread> {
        let message = format!("more than {limit} are too many to inspect");
        self.add(Code::TooManyExtensions, offset, message);
        Ok(())
    }

    fn examine_extension(
        &mut self,
        header: &mut Header,
        kind: u32,
        offset: u64,
        length: u64,
    ) -> Result<(), Unread> {
        // Unknown extensions are skipped, so that their bytes need not be read.
        if ![BACKING_FORMAT, FEATURE_NAMES, BITMAPS, LUKS, DATA_FILE].contains(&kind) {
            let message = format!("header extension {kind:#010x} is unknown");
            self.add(Code::UnknownExtension, offset, message);
            return Ok(());
        }
        if kind == FEATURE_NAMES && length / FEATURE_NAME > FEATURE_NAMES_MAX {
            return self.add_too_many(offset, &format!("{FEATURE_NAMES_MAX} feature names"));
        }
        if kind == DATA_FILE && length > NAME_MAX.into() {
            let message = format!("a data file name of {length} bytes is too long");
            self.add(Code::NameOutOfBounds, offset, message);
            return Ok(());
        }
        let Some(data) = self.read(offset + 8, length, PART)? else {
            return Ok(());
        };
        match kind {
            BACKING_FORMAT if length > FORMAT_NAME_MAX => {
                return self.add_bad_extension(offset, "names a backing format that is too long");
            }
            BACKING_FORMAT => header.backing_format = Some(text(data)),
            FEATURE_NAMES => name_features(&mut header.features, data),
            DATA_FILE => self.examine_data_file(header, offset, text(data)),
            BITMAPS => self.examine_bitmaps_extension(header, offset, data),
            _ => self.examine_luks_extension(header, offset, data),
        }
        Ok(())
    }

    fn examine_data_file(&mut self, header: &mut Header, offset: u64, name: String) {
        match &mut header.data_file {
            Some(data_file) => data_file.name = Some(name),
            None => {
                let message = format!("the external data file {name:?} is named but not used");
                self.add(Code::UnusedDataFile, offset, message);
            }
        }
    }

    fn examine_bitmaps_extension(&mut self, header: &mut Header, offset: u64, data: &[u8]) {
        let fields = Fields(data);
        if data.len() != 24 {
            let message = format!("a bitmaps extension has {} bytes, not 24", data.len());
            self.add(Code::HeaderExtension, offset, message);
            return;
        }
        if header.features.autoclear & header::BITMAPS == 0 {
            let message = "a program without bitmap support has invalidated the bitmaps";
            self.add(Code::StaleBitmaps, offset, message);
            return;
        }
        let (count, length) = (u64::from(fields.u32(0)), fields.u64(8));
        let table = Table {
            offset: fields.u64(16),
            entries: count,
            length,
        };
        if fields.u32(4) != 0 || count == 0 || count > BITMAPS_COUNT_MAX || length == 0 {
            let message = format!(
                "{count} bitmaps in {length} bytes are impossible, or a reserved field is not zero"
            );
            self.add(Code::BitmapDirectory, offset, message);
        }
        let cluster = header.cluster_size;
        self.check_table(
            Code::BitmapDirectory,
            offset,
            &table,
            BITMAP_DIRECTORY_MAX,
            cluster,
        );
        header.bitmap_directory = table;
    }

    fn examine_luks_extension(&mut self, header: &mut Header, offset: u64, data: &[u8]) {
        if header.encryption != Some(Encryption::Luks) || data.len() != 16 {
            let message = "the LUKS extension is malformed, or the encryption is not LUKS";
            self.add(Code::EncryptionHeader, offset, message);
            return;
        }
        let table = Table {
            offset: Fields(data).u64(0),
            entries: 1,
            length: Fields(data).u64(8),
        };
        if table.length < LUKS_HEADER {
            let message = format!("a LUKS header of {} bytes is too short", table.length);
            self.add(Code::EncryptionHeader, offset, message);
        }
        let cluster = header.cluster_size;
        self.check_table(Code::EncryptionHeader, offset, &table, u64::MAX, cluster);
        header.luks_header = Some(table);
    }
}

/// Sets the names of the unknown features from the image's feature name table.
fn name_features(features: &mut Features, table: &[u8]) {
    for entry in table.chunks_exact(FEATURE_NAME as usize) {
        let (kind, bit, name) = (Fields(entry).u8(0), Fields(entry).u8(1), entry.get(2..));
        let kind = match kind {
            0 => FeatureKind::Incompatible,
            1 => FeatureKind::Compatible,
            2 => FeatureKind::Autoclear,
            _ => continue,
        };
        let mut unknown = features.unknown.iter_mut();
        if let Some(feature) = unknown.find(|feature| feature.kind == kind && feature.bit == bit) {
            feature.name = Some(text(name.unwrap_or_default()));
        }
    }
}
