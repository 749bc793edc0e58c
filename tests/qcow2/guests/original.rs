//! An image, and what is changed in it.

use std::fs;

use crate::disks::named;
use crate::mutants::{FIELDS, Random, field, number};

/// The places of an image that are worth a change.
pub(super) struct Original {
    pub(super) name: &'static str,
    bytes: Vec<u8>,
    cluster: u64,
    /// Offsets of the entries that are in use, and of some that are not.
    l1: Vec<u64>,
    l2: Vec<u64>,
    /// Offsets of the bitmaps of extended entries.
    bitmaps: Vec<u64>,
    /// Offsets and lengths.
    compressed: Vec<(u64, u64)>,
}

impl Original {
    pub(super) fn of(name: &'static str) -> Option<Self> {
        let bytes = fs::read(named(name)?).unwrap();
        let bits = number(&bytes, 20, 4);
        let (cluster, entries) = (1 << bits, number(&bytes, 36, 4));
        let is_extended = number(&bytes, 4, 4) == 3 && number(&bytes, 72, 8) & 16 != 0;
        let width = if is_extended { 16 } else { 8 };
        let mut original = Self {
            name,
            cluster,
            l1: Vec::new(),
            l2: Vec::new(),
            bitmaps: Vec::new(),
            compressed: Vec::new(),
            bytes,
        };
        let bytes = &original.bytes;
        for index in 0..entries {
            let at = number(bytes, 40, 8) + 8 * index;
            let table = number(bytes, at, 8) & 0x00ff_ffff_ffff_fe00;
            if table != 0 || index < 4 {
                original.l1.push(at);
            }
            for at in (table..table + cluster).step_by(width) {
                let entry = if table == 0 { 0 } else { number(bytes, at, 8) };
                if entry != 0 || (table != 0 && at % (32 * width as u64) == 0) {
                    original.l2.push(at);
                    original.bitmaps.extend(is_extended.then_some(at + 8));
                }
                if entry & 1 << 62 != 0 {
                    let shift = 62 - (bits - 8);
                    let offset = entry & ((1 << shift) - 1);
                    let sectors = (entry >> shift & ((1 << (bits - 8)) - 1)) + 1;
                    original.compressed.push((offset, sectors * 512));
                }
            }
        }
        Some(original)
    }

    /// The mutant of this number, always the same for the same image.
    pub(super) fn mutant(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for _ in 0..=random.below(4) {
            let (at, patch) = self.patch(random, &bytes);
            let room = bytes.len().saturating_sub(at as usize).min(patch.len());
            bytes[at as usize..][..room].copy_from_slice(&patch[..room]);
        }
        if random.below(40) == 0 {
            bytes.truncate(random.below(bytes.len() as u64) as usize);
        }
        bytes
    }

    fn patch(&self, random: &mut Random, bytes: &[u8]) -> (u64, Vec<u8>) {
        let of =
            |random: &mut Random, places: &[u64]| (!places.is_empty()).then(|| random.of(places));
        match random.below(16) {
            0..3 => {
                let (at, width) = random.of(&FIELDS);
                let value = field(random, bytes, at, width);
                return (at, value.to_be_bytes()[8 - width..].to_vec());
            }
            3..6 => {
                if let Some(at) = of(random, &self.l1) {
                    let value = self.entry(random, bytes, at, &self.l1);
                    return (at, value.to_be_bytes().to_vec());
                }
            }
            6..11 => {
                if let Some(at) = of(random, &self.l2) {
                    let value = self.entry(random, bytes, at, &self.l2);
                    return (at, value.to_be_bytes().to_vec());
                }
            }
            11..13 => {
                if let Some(at) = of(random, &self.bitmaps) {
                    let value = match random.below(4) {
                        0 => random.next() & random.next() >> 32,
                        1 => random.next() << 32,
                        2 => random.next(),
                        _ => number(bytes, at, 8) ^ 1 << random.below(64),
                    };
                    return (at, value.to_be_bytes().to_vec());
                }
            }
            _ => {}
        }
        let (start, length) = match &self.compressed[..] {
            [] => (0, bytes.len() as u64),
            places => random.of(places),
        };
        let at = (start + random.below(length)).min(bytes.len() as u64 - 1);
        let patch = match random.below(3) {
            0 => vec![bytes[at as usize] ^ 1 << random.below(8)],
            1 => vec![random.next() as u8],
            _ => (0..random.below(40)).map(|_| random.next() as u8).collect(),
        };
        (at, patch)
    }

    /// A value that an entry of a table may take wrongly, or by chance rightly.
    fn entry(&self, random: &mut Random, bytes: &[u8], at: u64, others: &[u64]) -> u64 {
        let (right, length) = (number(bytes, at, 8), bytes.len() as u64);
        match random.below(12) {
            0 => number(bytes, random.of(others), 8),
            1 => right.wrapping_add(512),
            2 => right.wrapping_sub(512),
            3 => right.wrapping_add(self.cluster),
            4 => right.wrapping_sub(self.cluster),
            5 => right & 0xff00_0000_0000_01ff | length.next_multiple_of(self.cluster),
            6 => right & 0xff00_0000_0000_01ff | (length - 1) & !(self.cluster - 1),
            7 => right ^ random.of(&[1, 1 << 62, 1 << 63, 1 << 56, 1 << 8, 3 << 62]),
            8 => right ^ 1 << random.below(64),
            9 => random.below(3),
            10 => (1 << 63) + random.below(length) / self.cluster * self.cluster,
            _ => random.next() >> random.below(64),
        }
    }
}
