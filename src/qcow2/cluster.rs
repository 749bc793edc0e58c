//! Decompression of clusters.

use flate2::{Decompress, FlushDecompress};
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer};

use super::header::Compression;

/// Decompresses clusters, one after the other, with the memory of one.
///
/// The output is bounded by the cluster, whatever the input says.
pub(crate) struct Decompressor(Method);

enum Method {
    Zlib(Decompress),
    Zstd(DCtx<'static>),
}

impl Decompressor {
    /// Makes one, or returns `None` if the method is not known.
    pub(crate) fn new(compression: Compression) -> Option<Self> {
        match compression {
            // QEMU compresses with a window of 4 KiB, but reads what goes further back as well.
            Compression::Zlib => Some(Self(Method::Zlib(Decompress::new(false)))),
            Compression::Zstd => DCtx::try_create().map(Method::Zstd).map(Self),
            Compression::Other(_) => None,
        }
    }

    /// Fills the cluster from the front of `input`, and ignores the rest of it. Returns `false` if
    /// the input is invalid or too short.
    pub(crate) fn fill(&mut self, input: &[u8], cluster: &mut [u8]) -> bool {
        match &mut self.0 {
            Method::Zlib(decompress) => {
                decompress.reset(false);
                let done = decompress.decompress(input, cluster, FlushDecompress::Finish);
                // The end of the stream may lie after the cluster's last byte.
                done.is_ok() && decompress.total_out() == cluster.len() as u64
            }
            Method::Zstd(context) => {
                if context
                    .reset(zstd::zstd_safe::ResetDirective::SessionOnly)
                    .is_err()
                {
                    return false;
                }
                let mut input = InBuffer::around(input);
                let mut output = OutBuffer::around(cluster);
                loop {
                    let before = (input.pos(), output.pos());
                    let Ok(left) = context.decompress_stream(&mut output, &mut input) else {
                        return false;
                    };
                    if output.pos() == output.capacity() {
                        // The frame must end there.
                        return left == 0;
                    }
                    if before == (input.pos(), output.pos()) {
                        return false;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn compressed(compression: Compression, cluster: &[u8]) -> Vec<u8> {
        match compression {
            Compression::Zstd => zstd::bulk::compress(cluster, 3).unwrap(),
            // With a window of 32 KiB, which other programs than QEMU may use.
            _ => {
                let level = flate2::Compression::new(9);
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(cluster).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    /// Bytes that come again only after 20,000 others.
    fn text(length: usize) -> Vec<u8> {
        let mut noise = vec![0; 20_000];
        fastrand::Rng::with_seed(1).fill(&mut noise);
        noise.into_iter().cycle().take(length).collect()
    }

    #[test]
    fn a_cluster_is_filled_from_the_front_of_the_input() {
        for compression in [Compression::Zlib, Compression::Zstd] {
            for length in [512, 64 << 10, 2 << 20] {
                let cluster = text(length);
                let mut input = compressed(compression, &cluster);
                let enough = input.len();
                input.extend([0xaa; 511]);
                let mut decompressor = Decompressor::new(compression).unwrap();
                let mut found = vec![1; length];
                assert!(decompressor.fill(&input, &mut found));
                assert!(found == cluster);
                assert!(!decompressor.fill(&input[..enough / 2], &mut found));
                // Of a longer cluster there is too little.
                assert!(!decompressor.fill(&input, &mut vec![1; length + 1]));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_input_fills_the_cluster_or_fails_and_the_next_is_right(
            is_zstd: bool,
            input in prop::collection::vec(any::<u8>(), 0..600),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            length in 1_usize..5000,
        ) {
            let compression = if is_zstd { Compression::Zstd } else { Compression::Zlib };
            let mut decompressor = Decompressor::new(compression).unwrap();
            let right = compressed(compression, &text(length));
            let mut damaged = right.clone();
            for (index, byte) in changes {
                *index.get_mut(&mut damaged) = byte;
            }
            for input in [input, damaged] {
                let mut room = vec![7; length + 100];
                decompressor.fill(&input, &mut room[..length]);
                prop_assert!(room[length..].iter().all(|&byte| byte == 7));
                prop_assert!(decompressor.fill(&right, &mut room[..length]));
                prop_assert!(room[..length] == text(length));
            }
        }
    }
}
