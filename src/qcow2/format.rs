//! Detection of file formats.

use std::fmt;

use serde::Serialize;

/// Length of the prefix that [`Format::detect`] uses, up to the magic of ISO 9660.
pub(crate) const DETECTABLE: u64 = 0x8006;

/// Length of the footer of a VHD file.
pub(super) const FOOTER: u64 = 512;

/// Offset of the magic of VDI, which follows a free text.
pub(super) const VDI_MAGIC: usize = 0x40;
const VDI: &[u8] = b"\x7f\x10\xda\xbe";

/// The format of a file, detected from its content.
///
/// ```
/// use machine_images::qcow2::Format;
/// assert_eq!(Format::detect(b"\xfd7zXZ\0").to_string(), "xz");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Format {
    /// QCOW2, versions 2 and later.
    Qcow2,
    /// QCOW version 1, long obsolete.
    Qcow,
    /// QEMU Enhanced Disk, obsolete.
    Qed,
    /// A raw LUKS volume.
    Luks,
    /// VMware disk, sparse or a text descriptor.
    Vmdk,
    /// Virtual PC and Hyper-V disk ("vpc" for QEMU).
    Vhd,
    /// Hyper-V disk, second format.
    Vhdx,
    /// VirtualBox disk.
    Vdi,
    /// Parallels disk.
    Parallels,
    /// ISO 9660: a CD or DVD.
    Iso9660,
    /// A raw disk with an MBR partition table or boot sector.
    Mbr,
    /// A raw disk with a GPT partition table.
    Gpt,
    /// Compressed by gzip.
    Gzip,
    /// Compressed by xz.
    Xz,
    /// Compressed by zstd.
    Zstd,
    /// Compressed by bzip2.
    Bzip2,
    /// Compressed by LZ4.
    Lz4,
    /// A ZIP archive.
    Zip,
    /// A tar archive, such as an OVA.
    Tar,
    /// A web page, such as an error page saved as an image.
    Html,
    /// An unknown format, or a raw disk without a partition table.
    Unknown,
}

/// Offset, magic and format. The first match wins, so ISO 9660, which may start with a boot sector,
/// comes before MBR.
const MAGICS: &[(usize, &[u8], Format)] = &[
    (0, b"QFI\xfb\0\0\0\x01", Format::Qcow),
    (0, b"QFI\xfb", Format::Qcow2),
    (0, b"QED\0", Format::Qed),
    (0, b"LUKS\xba\xbe", Format::Luks),
    (0, b"KDMV", Format::Vmdk),
    (0, b"COWD", Format::Vmdk),
    (0, b"# Disk DescriptorFile", Format::Vmdk),
    (0, b"conectix", Format::Vhd),
    (0, b"vhdxfile", Format::Vhdx),
    (VDI_MAGIC, VDI, Format::Vdi),
    (0, b"WithoutFreeSpace", Format::Parallels),
    (0, b"WithouFreSpacExt", Format::Parallels),
    (0, b"\x1f\x8b", Format::Gzip),
    (0, b"\xfd7zXZ\0", Format::Xz),
    (0, b"\x28\xb5\x2f\xfd", Format::Zstd),
    (0, b"BZh", Format::Bzip2),
    (0, b"\x04\x22\x4d\x18", Format::Lz4),
    (0, b"PK\x03\x04", Format::Zip),
    (0, b"<!DOCTYPE html", Format::Html),
    (0, b"<!doctype html", Format::Html),
    (0, b"<html", Format::Html),
    (0, b"<HTML", Format::Html),
    (257, b"ustar", Format::Tar),
    (0x8001, b"CD001", Format::Iso9660),
    (512, b"EFI PART", Format::Gpt),
    (4096, b"EFI PART", Format::Gpt),
    (510, b"\x55\xaa", Format::Mbr),
];

impl Format {
    /// Detects the format from the first bytes of a file. 33 KiB are enough for every format.
    #[must_use]
    pub fn detect(prefix: &[u8]) -> Self {
        MAGICS
            .iter()
            .find(|(at, magic, _)| {
                prefix
                    .get(*at..)
                    .is_some_and(|rest| rest.starts_with(magic))
            })
            .map_or(Self::Unknown, |&(.., format)| format)
    }

    /// Returns the format that QEMU detects in a QCOW2 image in place of QCOW2. Its VDI driver is as
    /// certain as the QCOW2 driver, looks at other bytes, and is asked first.
    pub(super) fn detect_over_qcow2(prefix: &[u8]) -> Option<Self> {
        let vdi = prefix.get(VDI_MAGIC..)?.starts_with(VDI);
        vdi.then_some(Self::Vdi)
    }

    /// Detects the format from the last 512 bytes of a file.
    ///
    /// A VHD of fixed size has its only magic there, after what looks like a raw disk.
    ///
    /// ```
    /// use machine_images::qcow2::Format;
    /// let footer = [b"conectix".as_slice(), &[0; 504]].concat();
    /// assert_eq!(Format::detect_footer(&footer), Some(Format::Vhd));
    /// ```
    #[must_use]
    pub fn detect_footer(last: &[u8]) -> Option<Self> {
        last.starts_with(b"conectix").then_some(Self::Vhd)
    }

    /// Returns the name in lower case, as [`Display`](fmt::Display) and JSON show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Qcow => "qcow",
            Self::Qed => "qed",
            Self::Luks => "luks",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
            Self::Parallels => "parallels",
            Self::Iso9660 => "iso9660",
            Self::Mbr => "mbr",
            Self::Gpt => "gpt",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::Html => "html",
            Self::Unknown => "unknown",
        }
    }

    /// Returns `true` if the end of the file may still show another format.
    pub(super) const fn is_uncertain(self) -> bool {
        matches!(self, Self::Mbr | Self::Gpt | Self::Unknown)
    }

    /// Returns `true` if QEMU finds another disk in it, or files that it names.
    #[cfg(feature = "disk")]
    pub(crate) const fn is_disk_image(self) -> bool {
        matches!(
            self,
            Self::Qcow2
                | Self::Qcow
                | Self::Qed
                | Self::Vmdk
                | Self::Vhd
                | Self::Vhdx
                | Self::Vdi
                | Self::Parallels
        )
    }

    /// Returns a noun phrase for messages.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::Qcow2 => "QCOW2",
            Self::Qcow => "QCOW version 1, which is obsolete",
            Self::Qed => "QED, which is obsolete",
            Self::Luks => "a raw LUKS volume",
            Self::Vmdk => "VMDK (VMware)",
            Self::Vhd => "VHD (Virtual PC)",
            Self::Vhdx => "VHDX (Hyper-V)",
            Self::Vdi => "VDI (VirtualBox)",
            Self::Parallels => "a Parallels disk",
            Self::Iso9660 => "ISO 9660",
            Self::Mbr => "a raw disk with an MBR",
            Self::Gpt => "a raw disk with a GPT",
            Self::Gzip => "a gzip file",
            Self::Xz => "an xz file",
            Self::Zstd => "a zstd file",
            Self::Bzip2 => "a bzip2 file",
            Self::Lz4 => "an LZ4 file",
            Self::Zip => "a ZIP archive",
            Self::Tar => "a tar archive",
            Self::Html => "HTML",
            Self::Unknown => "a raw disk or an unknown format",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(at: usize, magic: &[u8], also: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; 0x9000];
        for (at, magic) in also.iter().chain([&(at, magic)]) {
            bytes[*at..at + magic.len()].copy_from_slice(magic);
        }
        bytes
    }

    #[test]
    fn every_magic_is_found_at_its_place_within_the_detectable_bytes() {
        for &(at, magic, format) in MAGICS {
            assert_eq!(Format::detect(&with(at, magic, &[])), format);
            assert!((at + magic.len()) as u64 <= DETECTABLE);
            let json = serde_json::to_string(&format).unwrap();
            assert_eq!(json, format!("{:?}", format.as_str()));
        }
    }

    #[test]
    fn a_bootable_iso_is_not_taken_for_a_raw_disk() {
        let hybrid = with(0x8001, b"CD001", &[(510, b"\x55\xaa")]);
        assert_eq!(Format::detect(&hybrid), Format::Iso9660);
    }

    #[test]
    fn the_protective_mbr_of_a_gpt_is_not_taken_for_an_mbr() {
        let gpt = with(512, b"EFI PART", &[(510, b"\x55\xaa")]);
        assert_eq!(Format::detect(&gpt), Format::Gpt);
    }

    #[test]
    fn nothing_is_unknown() {
        assert_eq!(Format::detect(b""), Format::Unknown);
    }
}
