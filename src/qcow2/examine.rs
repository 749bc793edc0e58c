//! One inspection: the fixed part of the header, and what it means.

use std::ops::Range;

use super::fixed::{self, LENGTH_V3};
use super::format::{DETECTABLE, FOOTER, VDI_MAGIC};
use super::header::{self, Features, RAW_DATA};
use super::known::{Fields, Gap, Known, text};
use super::{
    Code, Compression, DataFile, Encryption, Feature, FeatureKind, Finding, Format, Header, Policy,
    Report,
};

/// The longest fixed part that has fields with a meaning.
const FIXED: u64 = 112;
/// The longest name of another file: QEMU's limit for a backing file.
pub(super) const NAME_MAX: u32 = 1023;

/// Bytes without which the examination cannot go on.
pub(super) type Unread = Range<u64>;

/// An examination of the bytes known so far. It starts afresh whenever more bytes are known.
pub(super) struct Examination<'a> {
    known: &'a Known<'a>,
    policy: &'a Policy,
    pub(super) report: Report,
}

impl<'a> Examination<'a> {
    pub(super) fn new(known: &'a Known<'a>, policy: &'a Policy) -> Self {
        let report = Report {
            format: Format::Unknown,
            header: None,
            snapshots: Vec::new(),
            bitmaps: Vec::new(),
            findings: Vec::new(),
        };
        Self {
            known,
            policy,
            report,
        }
    }

    pub(super) fn find(&mut self, code: Code, offset: u64, message: String) {
        let severity = self.policy.severity(code);
        self.report.findings.push(Finding {
            code,
            severity,
            offset,
            message,
        });
    }

    pub(super) fn total(&self) -> Option<u64> {
        self.known.total
    }

    /// Bytes that must be there: when the image ends before them, that is found and `None`.
    pub(super) fn read(
        &mut self,
        at: u64,
        length: u64,
        what: &str,
    ) -> Result<Option<&'a [u8]>, Unread> {
        match self.known.get(at, length) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Gap::Unread(range)) => Err(range),
            Err(Gap::BeyondEnd) => {
                self.find(Code::Truncated, at, format!("the file ends before {what}"));
                Ok(None)
            }
        }
    }

    /// The first bytes, fewer if the image is shorter.
    fn first(&self, length: u64) -> Result<&'a [u8], Unread> {
        let length = self.known.total.map_or(length, |total| length.min(total));
        match self.known.get(0, length) {
            Ok(bytes) => Ok(bytes),
            Err(Gap::Unread(range)) => Err(range),
            Err(Gap::BeyondEnd) => Ok(&[]),
        }
    }

    /// Examines all that is in the first cluster.
    pub(super) fn header(&mut self) -> Result<(), Unread> {
        let fixed = self.first(FIXED)?;
        self.report.format = Format::detect(fixed);
        if self.report.format == Format::Qcow2 {
            self.ambiguous(fixed);
            return self.qcow2(Fields(fixed));
        }
        if self.report.format.is_doubtful() {
            self.report.format = Format::detect(self.first(DETECTABLE)?);
        }
        self.not_qcow2(self.report.format);
        Ok(())
    }

    fn ambiguous(&mut self, fixed: &[u8]) {
        if let Some(other) = Format::hidden(fixed) {
            let message = format!(
                "QEMU, unless told the format, takes it for {}",
                other.described()
            );
            self.find(Code::AmbiguousFormat, VDI_MAGIC as u64, message);
        }
    }

    fn not_qcow2(&mut self, format: Format) {
        self.report.format = format;
        let message = format!("not a QCOW2 image but {}", format.described());
        self.find(Code::NotQcow2, 0, message);
    }

    /// Examines the tables that QEMU reads when it opens the image, and says which could not be.
    pub(super) fn tables(&mut self) -> Vec<Unread> {
        let Some(header) = self.report.header.clone() else {
            return self.footer().err().into_iter().collect();
        };
        [
            self.snapshots(&header),
            self.bitmaps(&header),
            self.luks(&header),
        ]
        .into_iter()
        .filter_map(Result::err)
        .collect()
    }

    /// A VHD of fixed size shows at its end only.
    fn footer(&mut self) -> Result<(), Unread> {
        let start = self.known.total.and_then(|total| total.checked_sub(FOOTER));
        let (true, Some(start)) = (self.report.format.is_doubtful(), start) else {
            return Ok(());
        };
        let footer = match self.known.get(start, FOOTER) {
            Err(Gap::Unread(range)) => return Err(range),
            found => found.unwrap_or_default(),
        };
        if let Some(format) = Format::detect_footer(footer) {
            self.report.findings.clear();
            self.not_qcow2(format);
        }
        Ok(())
    }

    fn qcow2(&mut self, fixed: Fields<'_>) -> Result<(), Unread> {
        let (version, cluster_bits) = (fixed.u32(4), fixed.u32(20));
        if !(2..=3).contains(&version) {
            self.find(
                Code::UnsupportedVersion,
                4,
                format!("version {version} is not 2 or 3"),
            );
            return Ok(());
        }
        if !(9..=21).contains(&cluster_bits) {
            let message = format!("clusters of 2^{cluster_bits} bytes are not 2^9 to 2^21");
            self.find(Code::ClusterBits, 20, message);
            return Ok(());
        }
        let mut header = fixed::parse(fixed, version, 1 << cluster_bits);
        self.length(&header);
        self.fields(&header, fixed);
        self.layout(&header);
        // Both are tried: a name that is not there yet must not hide a bad extension.
        let name = self.backing_name(&mut header, fixed);
        let extensions = self.extensions(&mut header, fixed.u64(8));
        self.features(&header.features);
        self.others_files(&header);
        self.remarks(&header);
        self.report.header = Some(header);
        name.and(extensions)
    }

    fn length(&mut self, header: &Header) {
        let length = header.header_length;
        if header.version == 3 && (length < LENGTH_V3 || length % 8 != 0) {
            let message = format!("a header of {length} bytes is not 104 or more in steps of 8");
            self.find(Code::HeaderLength, 100, message);
        }
        if u64::from(length) > header.cluster_size {
            let message = format!("a header of {length} bytes exceeds the first cluster");
            self.find(Code::HeaderLength, 100, message);
        }
        if let Some(total) = self.total().filter(|&total| total < length.into()) {
            self.find(
                Code::Truncated,
                total,
                "the file ends within its header".to_owned(),
            );
        }
    }

    fn fields(&mut self, header: &Header, fixed: Fields<'_>) {
        if let Some(Encryption::Other(method)) = header.encryption {
            let message = format!("encryption method {method} is unknown");
            self.find(Code::EncryptionMethod, 32, message);
        }
        let flagged = header.features.incompatible & header::COMPRESSION != 0;
        match header.compression {
            Compression::Other(kind) => self.find(
                Code::CompressionType,
                104,
                format!("compression type {kind} is unknown"),
            ),
            kind if flagged != (kind == Compression::Zstd) => {
                let message = "the compression type and its feature bit contradict each other";
                self.find(Code::CompressionType, 104, message.to_owned());
            }
            _ => {}
        }
        if header.features.extended_l2() && header.cluster_size < 16 << 10 {
            let message = "extended L2 entries need clusters of 16 KiB or more".to_owned();
            self.find(Code::SubclusterSize, 72, message);
        }
        if header.version == 3 && fixed.u32(96) > 6 {
            let message = format!("refcounts of 2^{} bits exceed 64 bits", fixed.u32(96));
            self.find(Code::RefcountBits, 96, message);
        }
    }

    fn backing_name(&mut self, header: &mut Header, fixed: Fields<'_>) -> Result<(), Unread> {
        let (offset, length) = (fixed.u64(8), fixed.u32(16));
        if offset == 0 {
            return Ok(());
        }
        header.backing_file = Some(String::new());
        let room = header.cluster_size.checked_sub(offset);
        if length > NAME_MAX || room.is_none_or(|room| u64::from(length) > room) {
            let message = format!(
                "the backing file name ({length} bytes at {offset}) is too long or not inside \
                 the first cluster"
            );
            self.find(Code::NameOutOfBounds, 8, message);
            return Ok(());
        }
        let name = self.read(offset, length.into(), "the backing file name ends")?;
        header.backing_file = Some(text(name.unwrap_or_default()));
        Ok(())
    }

    fn features(&mut self, features: &Features) {
        for Feature { kind, bit, name } in &features.unknown {
            let name = name
                .as_ref()
                .map(|name| format!(" ({name:?})"))
                .unwrap_or_default();
            match kind {
                FeatureKind::Incompatible => {
                    let message = format!("incompatible feature bit {bit}{name} is unknown");
                    self.find(Code::UnknownFeature, 72, message);
                }
                FeatureKind::Compatible => {
                    let message = format!("compatible feature bit {bit}{name} is unknown");
                    self.find(Code::UnknownOptionalFeature, 80, message);
                }
                FeatureKind::Autoclear => {
                    let message = format!("autoclear feature bit {bit}{name} is unknown");
                    self.find(Code::UnknownOptionalFeature, 88, message);
                }
            }
        }
    }

    /// What makes QEMU open files that the image chooses.
    fn others_files(&mut self, header: &Header) {
        if let Some(name) = &header.backing_file {
            let message = format!("QEMU would read the backing file {name:?} too");
            self.find(Code::BackingFile, 8, message);
        }
        match &header.data_file {
            Some(DataFile {
                name: Some(name), ..
            }) => {
                let message = format!("QEMU would read the external data file {name:?}");
                self.find(Code::DataFile, 72, message);
            }
            Some(DataFile { name: None, .. }) => {
                let message = "the data is in an external data file".to_owned();
                self.find(Code::DataFile, 72, message);
            }
            None if header.features.autoclear & RAW_DATA != 0 => {
                let message = "the external data file is said to be raw, but there is none";
                self.find(Code::DataFile, 88, message.to_owned());
            }
            None => {}
        }
    }

    fn remarks(&mut self, header: &Header) {
        if header.version == 2 {
            let message = "version 2 of the format is out of use since 2013".to_owned();
            self.find(Code::Version2, 4, message);
        }
        if header.encryption.is_some() {
            self.find(Code::Encrypted, 32, "the data is encrypted".to_owned());
        }
        if header.features.dirty() {
            let message = "the image was not closed properly and needs a repair".to_owned();
            self.find(Code::Dirty, 72, message);
        }
        if header.features.corrupt() {
            self.find(
                Code::Corrupt,
                72,
                "the image is marked as corrupt".to_owned(),
            );
        }
        if header.snapshot_table.entries > 0 {
            let message = format!("internal snapshots: {}", header.snapshot_table.entries);
            self.find(Code::InternalSnapshots, 60, message);
        }
        if header.bitmap_directory.entries > 0 {
            let message = format!("dirty bitmaps: {}", header.bitmap_directory.entries);
            self.find(Code::Bitmaps, header.bitmap_directory.offset, message);
        }
        let limit = self.policy.virtual_size_limit();
        if let Some(limit) = limit.filter(|&limit| header.virtual_size > limit) {
            let message = format!(
                "a virtual size of {} bytes is above the limit of {limit}",
                header.virtual_size
            );
            self.find(Code::VirtualSizeLimit, 24, message);
        }
    }
}
