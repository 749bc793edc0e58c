//! Compression of single clusters.

use std::io;

use flate2::{Compress, FlushCompress, Status};
use zstd::bulk;

use super::header::Compression;
use super::layout::CLUSTER;

/// The fastest level is half as fast as the socket; the next costs more time than it saves bytes.
const ZLIB_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;
/// The window that QEMU has for decompression, as a power of two.
const ZLIB_WINDOW: u8 = 12;

/// A compressor of clusters. Equal clusters have equal results, whatever was compressed before.
pub(crate) enum Compressor {
    Zlib(Compress),
    Zstd(bulk::Compressor<'static>, Vec<u8>),
}

impl Compressor {
    pub(crate) fn new(compression: Compression) -> io::Result<Self> {
        match compression {
            Compression::Zlib => {
                let level = flate2::Compression::new(ZLIB_LEVEL);
                let compress = Compress::new_with_window_bits(level, false, ZLIB_WINDOW);
                Ok(Self::Zlib(compress))
            }
            Compression::Zstd => {
                let room = vec![0; zstd::zstd_safe::compress_bound(CLUSTER)];
                Ok(Self::Zstd(bulk::Compressor::new(ZSTD_LEVEL)?, room))
            }
            Compression::Other(kind) => {
                let message = format!("compression type {kind} is unknown: use Zlib or Zstd");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        }
    }

    /// Appends the compressed cluster to `into`, and returns its length; zero if it is no shorter
    /// than the cluster.
    pub(crate) fn compress(&mut self, cluster: &[u8], into: &mut Vec<u8>) -> io::Result<u16> {
        let start = into.len();
        match self {
            Self::Zlib(compress) => {
                into.resize(start + CLUSTER - 1, 0);
                compress.reset();
                let status = compress.compress(cluster, &mut into[start..], FlushCompress::Finish);
                let length = match status.map_err(io::Error::other)? {
                    Status::StreamEnd => compress.total_out() as usize,
                    _ => 0,
                };
                into.truncate(start + length);
            }
            Self::Zstd(compress, room) => {
                let length = compress.compress_to_buffer(cluster, room.as_mut_slice())?;
                if length < CLUSTER {
                    into.extend(&room[..length]);
                }
            }
        }
        // Less than a cluster.
        Ok((into.len() - start) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clusters from zeros to noise.
    fn clusters() -> Vec<Vec<u8>> {
        let mut random = fastrand::Rng::with_seed(7);
        let of = |share: f64, random: &mut fastrand::Rng| {
            let noise = |_| match random.f64() < share {
                true => random.u8(..),
                false => b"machine "[random.usize(..8)],
            };
            (0..CLUSTER).map(noise).collect()
        };
        let shares = [0.0, 0.1, 0.5, 0.9, 0.99, 1.0];
        let mut clusters = vec![vec![0; CLUSTER], vec![7; CLUSTER]];
        clusters.extend(shares.map(|share| of(share, &mut random)));
        clusters
    }

    #[test]
    fn the_result_does_not_depend_on_what_was_compressed_before() {
        for kind in [Compression::Zlib, Compression::Zstd] {
            let compress = |compressor: &mut Compressor, cluster: &[u8]| {
                let mut compressed = Vec::new();
                let length = compressor.compress(cluster, &mut compressed).unwrap();
                assert_eq!(usize::from(length), compressed.len());
                compressed
            };
            let clusters = clusters();
            let alone: Vec<_> = clusters
                .iter()
                .map(|cluster| compress(&mut Compressor::new(kind).unwrap(), cluster))
                .collect();
            let mut used = Compressor::new(kind).unwrap();
            for round in 0..40 {
                for place in 0..clusters.len() {
                    let place = (place * (1 + round % 3) + round) % clusters.len();
                    assert!(
                        compress(&mut used, &clusters[place]) == alone[place],
                        "{kind:?}"
                    );
                }
            }
            // Zeros are short, and noise is left as it is.
            assert!((1..500).contains(&alone[0].len()), "{}", alone[0].len());
            assert_eq!(alone.last().unwrap().len(), 0);
        }
    }

    #[test]
    fn an_unknown_compression_is_refused() {
        let error = Compressor::new(Compression::Other(7)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("type 7"), "{error}");
    }
}
