//! The map against a simple reading of the format.

use proptest::prelude::*;

use super::super::header::{Snapshot, Table};
use super::super::{Inspection, Policy, inspect};
use super::*;

/// An image whose tables are made up as they are read. Its first clusters are the header, the
/// refcounts and the L1 table.
#[derive(Debug, Clone)]
struct Image {
    version: u32,
    bits: u32,
    is_extended: bool,
    size: u64,
    length: u64,
    l1: Vec<u64>,
    seed: u64,
}

fn hash(seed: u64, number: u64) -> u64 {
    let mut mixed = seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

/// The place of the bytes of one part of a cluster.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Data(u64),
    Compressed(u64, u64),
    Zero,
    Hole,
}

impl Image {
    fn cluster(&self) -> u64 {
        1 << self.bits
    }

    fn width(&self) -> u64 {
        if self.is_extended { 16 } else { 8 }
    }

    /// The clusters that one L2 table maps.
    fn per_table(&self) -> u64 {
        self.cluster() / self.width()
    }

    fn parts(&self) -> u64 {
        if self.is_extended { 32 } else { 1 }
    }

    fn map(&self) -> Map {
        let mut header = b"QFI\xfb".to_vec();
        header.extend(self.version.to_be_bytes());
        header.extend([0; 12]);
        header.extend(self.bits.to_be_bytes());
        header.extend(self.size.to_be_bytes());
        header.extend([0; 4]);
        header.extend((self.l1.len() as u32).to_be_bytes());
        header.extend((2 * self.cluster()).to_be_bytes());
        header.extend(self.cluster().to_be_bytes());
        header.extend(1_u32.to_be_bytes());
        header.extend([0; 12]);
        header.extend(u64::from(self.is_extended as u8 * 16).to_be_bytes());
        header.extend([0; 16]);
        header.extend(4_u32.to_be_bytes());
        header.extend(104_u32.to_be_bytes());
        header.resize(512, 0);
        let found = inspect(&header, Some(self.length), &Policy::default());
        let Inspection::Done(report) = found else {
            panic!("{found:?}");
        };
        let geometry = Geometry::new(&report, self.length).unwrap();
        let bytes: Vec<u8> = self
            .l1
            .iter()
            .flat_map(|entry| entry.to_be_bytes())
            .collect();
        Map::new(geometry, &bytes)
    }

    /// An entry of the L2 table at an offset: runs of five clusters are alike.
    fn entry(&self, at: u64) -> (u64, u64) {
        let index = at / self.width();
        let (run, own) = (hash(self.seed, index / 5), hash(!self.seed, at));
        let offset = (3 + run % 50 + index % 5) << self.bits;
        if own % 300 == 0 {
            return (own.rotate_left(23), hash(own, 1));
        }
        let bitmap = match own % 8 {
            0 => 0,
            1 => 0xffff_ffff,
            2 => 0xffff_ffff << 32,
            _ => {
                let (data, zero) = (hash(own, 2) & 0xffff_ffff, hash(own, 3));
                data | (zero & !data) << 32
            }
        };
        match run >> 32 & 7 {
            0 => (0, bitmap & 0xffff_ffff << 32),
            1 if self.version == 3 && !self.is_extended => (1, bitmap),
            2 if self.version == 3 && !self.is_extended => (1 << 63 | offset | 1, bitmap),
            3..5 => {
                let fields = self.bits - 8;
                let sectors = own >> 20 & ((1 << fields) - 1);
                let value = 1 << 62 | sectors << (62 - fields) | (offset + own % self.cluster());
                (value, bitmap)
            }
            _ => (1 << 63 | offset, bitmap),
        }
    }

    fn table(&self, slice: &Slice) -> Vec<u8> {
        let entries = slice.file.clone().step_by(self.width() as usize);
        let bytes = entries.flat_map(|at| {
            let (value, bitmap) = self.entry(at);
            let both = [value.to_be_bytes(), bitmap.to_be_bytes()].concat();
            both.into_iter().take(self.width() as usize)
        });
        bytes.collect()
    }

    /// Whether there can be no data at an offset.
    fn is_misplaced(&self, offset: u64) -> bool {
        let l1 = 2 * self.cluster();
        offset >= self.length
            || offset < l1
            || (l1..l1 + 8 * self.l1.len() as u64).contains(&offset)
    }

    /// The offset of the L2 table of a cluster, by the format.
    fn l2(&self, cluster: u64) -> Result<Option<u64>, Code> {
        let entry = self.l1[(cluster / self.per_table()) as usize];
        let offset = entry & 0x00ff_ffff_ffff_fe00;
        if entry & 0x7f00_0000_0000_01ff != 0 {
            return Err(Code::L1Entry);
        }
        if offset == 0 {
            return Ok(None);
        }
        let is_whole = offset + self.cluster() <= self.length;
        let overlaps = offset < 2 * self.cluster() + 8 * self.l1.len() as u64;
        match offset % self.cluster() == 0 && is_whole && !overlaps {
            true => Ok(Some(offset)),
            false => Err(Code::L1Entry),
        }
    }

    /// The parts of a cluster, by the format.
    fn expected(&self, cluster: u64) -> Result<Vec<Part>, Code> {
        let Some(table) = self.l2(cluster)? else {
            return Ok(vec![Part::Hole; self.parts() as usize]);
        };
        let at = table + cluster % self.per_table() * self.width();
        let (value, bitmap) = self.entry(at);
        let invalid = Err(Code::L2Entry);
        if value & 1 << 62 != 0 {
            let fields = self.bits - 8;
            let offset = value & ((1 << (62 - fields)) - 1);
            let sectors = (value >> (62 - fields) & ((1 << fields) - 1)) + 1;
            if self.is_misplaced(offset) {
                return invalid;
            }
            let end = (offset / 512 + sectors) * 512;
            let part = Part::Compressed(offset, end.min(self.length) - offset);
            return Ok(vec![part; self.parts() as usize]);
        }
        let offset = value & 0x00ff_ffff_ffff_fe00;
        if value & 0x3f00_0000_0000_01fe != 0 || offset % self.cluster() != 0 {
            return invalid;
        }
        if !self.is_extended {
            return match (value & 1 != 0, offset) {
                (true, _) if self.version == 2 => invalid,
                (true, _) => Ok(vec![Part::Zero]),
                (_, 0) => Ok(vec![Part::Hole]),
                _ if self.is_misplaced(offset) => invalid,
                _ => Ok(vec![Part::Data(offset)]),
            };
        }
        let mut parts = Vec::new();
        for index in 0..32 {
            let (is_data, is_zero) = (bitmap >> index & 1 == 1, bitmap >> (32 + index) & 1 == 1);
            parts.push(match (is_data, is_zero) {
                (true, true) => return invalid,
                (true, false) if self.is_misplaced(offset) => return invalid,
                (true, false) => Part::Data(offset + index * self.cluster() / 32),
                (false, true) => Part::Zero,
                (false, false) => Part::Hole,
            });
        }
        Ok(parts)
    }
}

fn images() -> impl Strategy<Value = Image> {
    let measures = (9_u32..22, any::<bool>(), any::<bool>(), any::<u64>());
    let tables = (1_usize..6, 0_u64..1 << 21, any::<u64>());
    (measures, tables).prop_map(|((bits, is_old, is_extended, seed), (count, odd, place))| {
        let is_extended = is_extended && !is_old && bits >= 14;
        let mut image = Image {
            version: if is_old { 2 } else { 3 },
            bits,
            is_extended,
            size: 0,
            length: (60 << bits) + odd % (1 << bits),
            l1: Vec::new(),
            seed,
        };
        let l1 = (0..count as u64).map(|index| match hash(seed, index) >> 50 & 15 {
            0..3 => 0,
            3 => hash(index, seed) >> (index % 60),
            4 => 1 << 63 | (70 << bits),
            _ => 1 << 63 | (3 + hash(seed, !index) % 50) << bits,
        });
        image.l1 = l1.collect();
        let clusters = image.per_table() * count as u64;
        // Near the end of a disk or somewhere, and not in whole clusters.
        let clusters = if place % 2 == 0 {
            clusters
        } else {
            1 + place % clusters
        };
        image.size = (clusters << bits) - odd % (1 << bits) / 512 * 512;
        image
    })
}

/// The extents of a range, as a reader asks for them.
fn extents(image: &Image, map: &Map, range: Range<u64>) -> Result<Vec<Extent>, Finding> {
    let (mut at, mut extents) = (range.start, Vec::new());
    while at < range.end {
        at = match map.lookup(at)? {
            Lookup::Extent(extent) => {
                let end = extent.end();
                assert!(extent.start == at && end > at);
                extents.extend(extent.within(&range));
                end
            }
            Lookup::Table(slice) => {
                assert!(slice.guest.contains(&at));
                assert!(slice.file.end - slice.file.start <= 64 << 10);
                let found = map.extents(&slice, &image.table(&slice), range.clone())?;
                for pair in found.windows(2) {
                    let mut first = pair[0];
                    assert!(!first.merge(&pair[1]), "{pair:?}");
                }
                extents.extend(found);
                slice.guest.end
            }
        };
    }
    Ok(extents)
}

fn check(image: &Image, start: u64, length: u64) -> Result<(), TestCaseError> {
    let map = image.map();
    prop_assert_eq!(map.geometry().size(), image.size);
    let part = image.cluster() / image.parts();
    let start = start % image.size;
    let range = start..(start + length % (100 << image.bits) + 1).min(image.size);
    let clusters = range.start >> image.bits..((range.end - 1) >> image.bits) + 1;
    let expected: Result<Vec<Vec<Part>>, Code> = clusters
        .clone()
        .map(|cluster| image.expected(cluster))
        .collect();
    let found = extents(image, &map, range.clone());
    let (found, expected) = match (found, expected) {
        (Ok(found), Ok(expected)) => (found, expected.concat()),
        (Err(finding), Err(code)) => {
            prop_assert_eq!(finding.code, code);
            return Ok(());
        }
        (found, expected) => return Err(TestCaseError::fail(format!("{found:?} {expected:?}"))),
    };
    // They are in order, without gaps, and go no further than they must.
    let first = clusters.start << image.bits;
    let mut at = found[0].start;
    for extent in &found {
        let is_compressed = matches!(extent.kind, ExtentKind::Compressed { .. });
        prop_assert!(extent.start == at && extent.length > 0, "{:?}", found);
        at = extent.end();
        prop_assert!(is_compressed || extent.start >= range.start && at <= range.end);
        prop_assert!(!is_compressed || extent.length <= image.cluster());
        let mut from = extent.start;
        while from < at {
            let index = (from - first) / part;
            let skipped = (from - first) % part;
            let same = match (extent.kind, expected[index as usize]) {
                (ExtentKind::Data { offset }, Part::Data(place)) => {
                    offset + (from - extent.start) == place + skipped
                }
                (ExtentKind::Compressed { offset, length }, Part::Compressed(place, long)) => {
                    (offset, length) == (place, long)
                }
                (ExtentKind::Zero, Part::Zero) | (ExtentKind::Hole, Part::Hole) => true,
                _ => false,
            };
            prop_assert!(
                same,
                "{} is {:?}: {:?}",
                from,
                expected[index as usize],
                extent
            );
            from += part - skipped;
        }
    }
    prop_assert!(found[0].start <= range.start && at >= range.end);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn it_is_the_one_of_the_format(image in images(), start: u64, length: u64) {
        check(&image, start, length)?;
    }

    #[test]
    fn any_tables_are_extents_or_a_finding(
        image in images(),
        l1 in prop::collection::vec(any::<u8>(), 0..64),
        table in prop::collection::vec(any::<u8>(), 0..2048),
        (at, start, end) in any::<(u64, u64, u64)>(),
    ) {
        let geometry = image.map().geometry().clone();
        let size = geometry.size();
        for map in [Map::new(geometry, &l1), image.map()] {
            for at in [at, at % size, size - 1] {
                match map.lookup(at) {
                    Ok(Lookup::Table(slice)) => {
                        prop_assert!(slice.file.end <= image.length);
                        for range in [slice.guest.clone(), start..end, 0..u64::MAX] {
                            let Ok(extents) = map.extents(&slice, &table, range) else { continue };
                            let length: u64 = extents.iter().map(|extent| extent.length).sum();
                            prop_assert!(length <= slice.guest.end - slice.guest.start);
                        }
                    }
                    Ok(Lookup::Extent(extent)) => prop_assert!(at >= size || extent.end() <= size),
                    Err(finding) => prop_assert_eq!(finding.code, Code::L1Entry),
                }
            }
        }
    }
}

#[test]
fn what_the_table_of_a_snapshot_is_too_short_for_is_one_hole() {
    let size = 1 << 62;
    for (entries, first) in [(vec![], 0), (vec![0], 0), (vec![0x400], 64 * 512)] {
        let l1_table = Table {
            offset: 0,
            entries: entries.len() as u64,
            length: 8 * entries.len() as u64,
        };
        let snapshot = Snapshot {
            id: "1".to_owned(),
            name: "s".to_owned(),
            date_sec: 0,
            date_nsec: 0,
            vm_clock_nsec: 0,
            vm_state_size: 0,
            virtual_size: Some(size),
            l1_table,
        };
        let geometry = Geometry::plain(9, 512, 4096).snapshot(&snapshot).unwrap();
        let bytes: Vec<u8> = entries
            .iter()
            .flat_map(|entry: &u64| entry.to_be_bytes())
            .collect();
        let map = Map::new(geometry, &bytes);
        let hole = Extent {
            start: first,
            length: size - first,
            kind: ExtentKind::Hole,
        };
        assert_eq!(map.lookup(first).unwrap(), Lookup::Extent(hole));
    }
}

#[test]
fn both_lengths_of_a_compressed_extent_are_in_its_json() {
    let extent = Extent {
        start: 0,
        length: 65536,
        kind: ExtentKind::Compressed {
            offset: 512,
            length: 79,
        },
    };
    let json =
        r#"{"start":0,"length":65536,"kind":"compressed","offset":512,"compressed_length":79}"#;
    assert_eq!(serde_json::to_string(&extent).unwrap(), json);
}
