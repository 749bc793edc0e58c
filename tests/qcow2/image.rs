//! Images made field by field, of what no program writes.

pub(crate) const UNKNOWN: u32 = 0x1234_5678;
pub(crate) const FEATURE_NAMES: u32 = 0x6803_F857;
pub(crate) const BITMAPS: u32 = 0x2385_2875;
pub(crate) const DATA_FILE: u32 = 0x4441_5441;

/// Where the extensions are.
const EXTENSIONS: usize = 104;

/// An image of version 3. It has no fault but for what is put into it.
pub(crate) struct Builder {
    cluster: usize,
    virtual_size: u64,
    patches: Vec<(usize, Vec<u8>)>,
    extensions: Vec<u8>,
}

impl Builder {
    pub(crate) fn new(cluster_bits: u32) -> Self {
        let cluster = 1 << cluster_bits;
        let patches = vec![
            (0, b"QFI\xfb\0\0\0\x03".to_vec()),
            (20, cluster_bits.to_be_bytes().to_vec()),
            (56, vec![0, 0, 0, 1]),
            (96, vec![0, 0, 0, 4, 0, 0, 0, 104]),
        ];
        Self {
            cluster,
            virtual_size: 1 << 20,
            patches,
            extensions: Vec::new(),
        }
    }

    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.patches.push((at, bytes.to_vec()));
        self
    }

    pub(crate) fn virtual_size(&mut self, bytes: u64) -> &mut Self {
        self.virtual_size = bytes;
        self
    }

    /// Sets every feature bit but those that have a meaning for what is read.
    pub(crate) fn all_features(&mut self) -> &mut Self {
        self.put(72, &[0xff; 7]).put(80, &[0xff; 15])
    }

    /// Adds extensions of these kinds and lengths, filled with a byte that is no character.
    pub(crate) fn extensions(&mut self, extensions: &[(u32, usize)]) -> &mut Self {
        for &(kind, length) in extensions {
            self.extensions.extend(kind.to_be_bytes());
            self.extensions.extend((length as u32).to_be_bytes());
            let end = self.extensions.len() + length;
            self.extensions.resize(end, 1);
            self.extensions.resize(end.next_multiple_of(8), 0);
        }
        self
    }

    /// Says that there are snapshots in a table of zeros.
    pub(crate) fn snapshots(&mut self, table: u64, count: u32) -> &mut Self {
        self.put(60, &count.to_be_bytes())
            .put(64, &table.to_be_bytes())
    }

    /// Adds a directory of bitmaps of 512 bytes a bit, with the place and the number of entries
    /// of their tables.
    pub(crate) fn bitmaps(
        &mut self,
        directory: usize,
        tables: impl Iterator<Item = (u64, u32)>,
    ) -> &mut Self {
        let mut entries = Vec::new();
        for (number, (at, length)) in tables.enumerate() {
            entries.extend(at.to_be_bytes());
            entries.extend(length.to_be_bytes());
            entries.extend([0, 0, 0, 0, 1, 9, 0, 8, 0, 0, 0, 0]);
            entries.extend(format!("{number:08}").bytes());
        }
        if entries.is_empty() {
            return self;
        }
        let mut extension = (entries.len() as u32 / 32).to_be_bytes().to_vec();
        extension.extend([0; 4]);
        extension.extend((entries.len() as u64).to_be_bytes());
        extension.extend((directory as u64).to_be_bytes());
        // In front of what may be too much.
        let head = [BITMAPS, 24].map(u32::to_be_bytes).concat();
        let extension = [head, extension].concat();
        self.extensions.splice(0..0, extension);
        self.put(95, &[1]).put(directory, &entries)
    }

    /// An image of that length; what does not fit is cut off. The extensions end with the
    /// first cluster, the refcount table follows, and the L1 table ends the image.
    pub(crate) fn build(&self, length: usize) -> Vec<u8> {
        let mapped = (self.cluster * self.cluster / 8) as u64;
        let l1 = self.virtual_size.div_ceil(mapped) as usize;
        let place = (length - l1 * 8) / self.cluster * self.cluster;
        let mut fields = vec![
            (24, self.virtual_size.to_be_bytes().to_vec()),
            (36, (l1 as u32).to_be_bytes().to_vec()),
            (40, (place as u64).to_be_bytes().to_vec()),
            (48, (self.cluster as u64).to_be_bytes().to_vec()),
        ];
        let room = self.cluster - EXTENSIONS;
        let extensions = &self.extensions[..self.extensions.len().min(room)];
        fields.push((EXTENSIONS, extensions.to_vec()));
        let mut image = vec![0; length];
        for (at, bytes) in fields.iter().chain(&self.patches) {
            let end = (at + bytes.len()).min(length);
            image[*at..end].copy_from_slice(&bytes[..end - at]);
        }
        image
    }
}
