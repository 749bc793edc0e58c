//! The order in which an image is examined: its header, then the tables that the header names.

use super::examination::Examination;
use super::extents::{Unavailable, Unread};
use super::fields::Fields;
use super::format::{DETECTABLE, FOOTER, Format, VDI_MAGIC};
use super::header_fields;
use super::report::Code;

/// Length of the longest header whose fields are known.
const FIXED: u64 = 112;

impl Examination<'_> {
    /// Examines the first cluster.
    pub(super) fn examine_header(&mut self) -> Result<(), Unread> {
        let fixed = self.read_prefix(FIXED)?;
        self.report.format = Format::detect(fixed);
        if self.report.format == Format::Qcow2 {
            self.check_ambiguity(fixed);
            return self.examine_qcow2(Fields(fixed));
        }
        if self.report.format.is_uncertain() {
            self.report.format = Format::detect(self.read_prefix(DETECTABLE)?);
        }
        self.add_not_qcow2(self.report.format);
        Ok(())
    }

    /// Examines the tables that QEMU reads when it opens the image. Returns what is unread.
    pub(super) fn examine_tables(&mut self) -> Vec<Unread> {
        let Some(header) = self.report.header.clone() else {
            return self.examine_footer().err().into_iter().collect();
        };
        [
            self.examine_snapshots(&header),
            self.examine_bitmaps(&header),
            self.examine_luks(&header),
        ]
        .into_iter()
        .filter_map(Result::err)
        .collect()
    }

    fn examine_qcow2(&mut self, fixed: Fields<'_>) -> Result<(), Unread> {
        let (version, cluster_bits) = (fixed.u32(4), fixed.u32(20));
        if !(2..=3).contains(&version) {
            let message = format!("version {version} of the format is not supported");
            self.add(Code::UnsupportedVersion, 4, message);
            return Ok(());
        }
        if !(9..=21).contains(&cluster_bits) {
            let message =
                format!("a cluster size of 2^{cluster_bits} bytes is not between 2^9 and 2^21");
            self.add(Code::ClusterBits, 20, message);
            return Ok(());
        }
        let mut header = header_fields::parse(fixed, version, 1 << cluster_bits);
        self.check_length(&header);
        self.check_fields(&header, fixed);
        self.check_tables(&header);
        // Both, so that an unread name cannot hide a bad extension.
        let name = self.read_backing_name(&mut header, fixed);
        let extensions = self.examine_extensions(&mut header, fixed.u64(8));
        self.check_unknown_features(&header.features);
        self.check_external_files(&header);
        self.check_warnings(&header);
        self.check_virtual_size_limit(&header);
        self.report.header = Some(header);
        name.and(extensions)
    }

    fn check_ambiguity(&mut self, fixed: &[u8]) {
        if let Some(other) = Format::detect_over_qcow2(fixed) {
            let message = format!(
                "QEMU detects {} unless it is given the format",
                other.description()
            );
            self.add(Code::AmbiguousFormat, VDI_MAGIC as u64, message);
        }
    }

    /// Looks for a VHD of fixed size, whose only magic is at the end of the file.
    fn examine_footer(&mut self) -> Result<(), Unread> {
        let start = self.total().and_then(|total| total.checked_sub(FOOTER));
        let (true, Some(start)) = (self.report.format.is_uncertain(), start) else {
            return Ok(());
        };
        let footer = match self.extents.get(start, FOOTER) {
            Err(Unavailable::Unread(range)) => return Err(range),
            found => found.unwrap_or_default(),
        };
        if let Some(format) = Format::detect_footer(footer) {
            self.report.findings.clear();
            self.add_not_qcow2(format);
        }
        Ok(())
    }

    fn add_not_qcow2(&mut self, format: Format) {
        self.report.format = format;
        let message = format!("not a QCOW2 image but {}", format.description());
        self.add(Code::NotQcow2, 0, message);
    }
}
