//! The fields in the fixed part of a header.

use super::fields::Fields;
use super::header::{
    BITMAPS, Compression, DataFile, Encryption, Feature, FeatureKind, Features, Header,
    INCOMPATIBLE, LAZY_REFCOUNTS, RAW_DATA, Table,
};

/// Length of the header of version 2.
const LENGTH_V2: u32 = 72;
/// Minimum length of the header of version 3.
pub(super) const LENGTH_V3: u32 = 104;

/// Parses the fixed part of a header of version 2 or 3, without checking it.
pub(super) fn parse(fixed: Fields<'_>, version: u32, cluster_size: u64) -> Header {
    // In version 2 these bytes belong to the extensions.
    let v3 = |value: u64| if version == 3 { value } else { 0 };
    let features = Features {
        incompatible: v3(fixed.u64(72)),
        compatible: v3(fixed.u64(80)),
        autoclear: v3(fixed.u64(88)),
        unknown: Vec::new(),
    };
    let header_length = if version == 3 {
        fixed.u32(100)
    } else {
        LENGTH_V2
    };
    let data_file = features.data_file().then_some(DataFile {
        name: None,
        raw: features.autoclear & RAW_DATA != 0,
    });
    Header {
        version,
        virtual_size: fixed.u64(24),
        cluster_size,
        header_length,
        backing_file: None,
        backing_format: None,
        data_file,
        encryption: match fixed.u32(32) {
            0 => None,
            1 => Some(Encryption::Aes),
            2 => Some(Encryption::Luks),
            other => Some(Encryption::Other(other)),
        },
        compression: match fixed.u8(104) {
            _ if header_length <= LENGTH_V3 => Compression::Zlib,
            0 => Compression::Zlib,
            1 => Compression::Zstd,
            other => Compression::Other(other),
        },
        refcount_bits: match version {
            3 => 1_u64.checked_shl(fixed.u32(96)).unwrap_or(0),
            _ => 16,
        },
        l1_table: Table::new(fixed.u64(40), fixed.u32(36).into(), 8),
        refcount_table: Table::new(fixed.u64(48), fixed.u32(56).into(), cluster_size),
        // Each entry has at least 40 bytes.
        snapshot_table: Table::new(fixed.u64(64), fixed.u32(60).into(), 40),
        bitmap_directory: Table::default(),
        luks_header: None,
        features: with_unknown(features),
    }
}

fn with_unknown(mut features: Features) -> Features {
    let sets = [
        (
            FeatureKind::Incompatible,
            features.incompatible & !INCOMPATIBLE,
        ),
        (
            FeatureKind::Compatible,
            features.compatible & !LAZY_REFCOUNTS,
        ),
        (
            FeatureKind::Autoclear,
            features.autoclear & !(BITMAPS | RAW_DATA),
        ),
    ];
    for (kind, bits) in sets {
        let set = (0..64).filter(|bit| bits >> bit & 1 == 1);
        features.unknown.extend(set.map(|bit| Feature {
            kind,
            bit,
            name: None,
        }));
    }
    features
}
