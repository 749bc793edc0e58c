//! The header extensions: typed records between the header and the backing file name.

use super::examine::{Examination, NAME_MAX, Unread};
use super::header;
use super::known::{Fields, text};
use super::{Code, DataFile, Encryption, FeatureKind, Features, Header, Table};

const END: u32 = 0;
const BACKING_FORMAT: u32 = 0xE279_2ACA;
const FEATURE_NAMES: u32 = 0x6803_F857;
const BITMAPS: u32 = 0x2385_2875;
const LUKS: u32 = 0x0537_BE77;
const DATA_FILE: u32 = 0x4441_5441;

/// QEMU knows five kinds. Past so many an image is refused unread.
const EXTENSIONS_MAX: usize = 128;
/// The longest name of a backing format that QEMU takes.
const FORMAT_NAME_MAX: u64 = 15;
/// An entry of the feature name table: kind, bit and 46 bytes of name.
const FEATURE_NAME: u64 = 48;
/// As many as there are bits in the three sets.
const FEATURE_NAMES_MAX: u64 = 3 * 64;
const BITMAPS_COUNT_MAX: u64 = 65_535;
const BITMAP_DIRECTORY_MAX: u64 = BITMAPS_COUNT_MAX * 1024;
/// The fixed part of a LUKS header.
pub(super) const LUKS_HEADER: u64 = 592;

impl Examination<'_> {
    /// Examines the extensions, which end at the backing file name or with the first cluster.
    pub(super) fn extensions(&mut self, header: &mut Header, name: u64) -> Result<(), Unread> {
        let end = if name == 0 {
            header.cluster_size
        } else {
            name.min(header.cluster_size)
        };
        let mut at = u64::from(header.header_length);
        let mut count = 0;
        while at < end {
            let data = at + 8;
            if data > end {
                return self.broken(at, "has no room");
            }
            let Some(head) = self.read(at, 8, "its header extensions end")? else {
                return Ok(());
            };
            let (kind, length) = (Fields(head).u32(0), u64::from(Fields(head).u32(4)));
            if length > end - data {
                return self.broken(at, "exceeds the first cluster");
            }
            if kind == END {
                break;
            }
            if count == EXTENSIONS_MAX {
                return self.too_many(at, &format!("{count} header extensions"));
            }
            count += 1;
            self.extension(header, kind, at, length)?;
            at = data + length.next_multiple_of(8);
        }
        if header.encryption == Some(Encryption::Luks) && header.luks_header.is_none() {
            let message = "the image is encrypted but has no LUKS header".to_owned();
            self.find(Code::EncryptionHeader, 32, message);
        }
        Ok(())
    }

    fn broken(&mut self, at: u64, how: &str) -> Result<(), Unread> {
        self.find(
            Code::HeaderExtension,
            at,
            format!("the header extension at {at} {how}"),
        );
        Ok(())
    }

    fn too_many(&mut self, at: u64, most: &str) -> Result<(), Unread> {
        let message = format!("more than {most} are too many to inspect");
        self.find(Code::TooManyExtensions, at, message);
        Ok(())
    }

    fn extension(
        &mut self,
        header: &mut Header,
        kind: u32,
        at: u64,
        length: u64,
    ) -> Result<(), Unread> {
        // What is not understood is skipped, so that its bytes need not be there.
        if ![BACKING_FORMAT, FEATURE_NAMES, BITMAPS, LUKS, DATA_FILE].contains(&kind) {
            let message = format!("header extension {kind:#010x} is unknown");
            self.find(Code::UnknownExtension, at, message);
            return Ok(());
        }
        if kind == FEATURE_NAMES && length / FEATURE_NAME > FEATURE_NAMES_MAX {
            return self.too_many(at, &format!("{FEATURE_NAMES_MAX} names of features"));
        }
        if kind == DATA_FILE && length > NAME_MAX.into() {
            let message = format!("the data file name ({length} bytes) is too long");
            self.find(Code::NameOutOfBounds, at, message);
            return Ok(());
        }
        let Some(data) = self.read(at + 8, length, "its header extensions end")? else {
            return Ok(());
        };
        match kind {
            BACKING_FORMAT if length > FORMAT_NAME_MAX => {
                return self.broken(at, "names a backing format that is too long");
            }
            BACKING_FORMAT => header.backing_format = Some(text(data)),
            FEATURE_NAMES => name_features(&mut header.features, data),
            DATA_FILE => self.data_file(header, at, text(data)),
            BITMAPS => self.bitmaps_extension(header, at, data),
            _ => self.luks_extension(header, at, data),
        }
        Ok(())
    }

    fn data_file(&mut self, header: &mut Header, at: u64, name: String) {
        match &mut header.data_file {
            Some(DataFile { name: known, .. }) => *known = Some(name),
            None => {
                let message = format!("the external data file {name:?} is named but not used");
                self.find(Code::UnusedDataFile, at, message);
            }
        }
    }

    fn bitmaps_extension(&mut self, header: &mut Header, at: u64, data: &[u8]) {
        let fields = Fields(data);
        if data.len() != 24 {
            self.find(
                Code::HeaderExtension,
                at,
                format!(
                    "a bitmaps extension of {} bytes does not have 24",
                    data.len()
                ),
            );
            return;
        }
        if header.features.autoclear & header::BITMAPS == 0 {
            let message = "bitmaps are there but were invalidated by a program that does not \
                           know them";
            self.find(Code::StaleBitmaps, at, message.to_owned());
            return;
        }
        let (count, length) = (u64::from(fields.u32(0)), fields.u64(8));
        let table = Table {
            offset: fields.u64(16),
            entries: count,
            length,
        };
        if fields.u32(4) != 0 || count == 0 || count > BITMAPS_COUNT_MAX || length == 0 {
            let message = format!("{count} bitmaps in {length} bytes, or a reserved field in use");
            self.find(Code::BitmapDirectory, at, message);
        }
        self.place(
            Code::BitmapDirectory,
            at,
            &table,
            BITMAP_DIRECTORY_MAX,
            header.cluster_size,
        );
        header.bitmap_directory = table;
    }

    fn luks_extension(&mut self, header: &mut Header, at: u64, data: &[u8]) {
        if header.encryption != Some(Encryption::Luks) || data.len() != 16 {
            let message = "a LUKS header is named in a wrong way or without LUKS encryption";
            self.find(Code::EncryptionHeader, at, message.to_owned());
            return;
        }
        let (offset, length) = (Fields(data).u64(0), Fields(data).u64(8));
        let table = Table {
            offset,
            entries: 1,
            length,
        };
        if length < LUKS_HEADER {
            let message = format!("a LUKS header of {length} bytes is too short");
            self.find(Code::EncryptionHeader, at, message);
        }
        self.place(
            Code::EncryptionHeader,
            at,
            &table,
            u64::MAX,
            header.cluster_size,
        );
        header.luks_header = Some(table);
    }
}

/// Names the unknown features by the image's own table.
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
        if let Some(feature) = unknown.find(|known| known.kind == kind && known.bit == bit) {
            feature.name = Some(text(name.unwrap_or_default()));
        }
    }
}
