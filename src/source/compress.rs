//! Compression of single clusters.

use std::io;

use flate2::{Compress, FlushCompress, Status};
use zstd::bulk;

use crate::qcow2::{CLUSTER, Compression};

/// Levels at which an image is about one percent larger than QEMU makes it. Higher ones save little,
/// and take half as long again.
const ZLIB_LEVEL: u32 = 5;
const ZSTD_LEVEL: i32 = 2;
/// The window that QEMU has for decompression, as a power of two.
const ZLIB_WINDOW: u8 = 12;

/// A compressor of clusters. Equal clusters have equal results, whatever was compressed before.
pub(crate) struct Compressor {
    method: Method,
    /// Room for any result. A compressor that has run out of room, and is reset, is not like a new
    /// one: zlib-rs 0.6 panics sooner or later.
    room: Vec<u8>,
}

enum Method {
    Zlib(Compress),
    Zstd(bulk::Compressor<'static>),
}

impl Compressor {
    pub(crate) fn new(compression: Compression) -> io::Result<Self> {
        let method = match compression {
            Compression::Zlib => {
                let level = flate2::Compression::new(ZLIB_LEVEL);
                let compress = Compress::new_with_window_bits(level, false, ZLIB_WINDOW);
                Method::Zlib(compress)
            }
            Compression::Zstd => Method::Zstd(bulk::Compressor::new(ZSTD_LEVEL)?),
            Compression::Other(kind) => {
                let message = format!("compression type {kind} is unknown: use Zlib or Zstd");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        };
        let room = vec![0; 2 * CLUSTER];
        Ok(Self { method, room })
    }

    /// Compresses a cluster. The result is empty if it is no shorter than the cluster.
    pub(crate) fn compress(&mut self, cluster: &[u8]) -> io::Result<&[u8]> {
        let room = self.room.as_mut_slice();
        let length = match &mut self.method {
            Method::Zlib(compress) => {
                compress.reset();
                match compress.compress(cluster, room, FlushCompress::Finish)? {
                    Status::StreamEnd => compress.total_out() as usize,
                    _ => return Err(io::Error::other("a cluster is not compressed to its end")),
                }
            }
            Method::Zstd(compress) => compress.compress_to_buffer(cluster, room)?,
        };
        let is_shorter = length < CLUSTER;
        Ok(if is_shorter { &room[..length] } else { &[] })
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
        // Those in between are hardly shorter, or hardly longer.
        let shares = [0.0, 0.1, 0.5, 0.9, 0.94, 0.96, 0.97, 0.98, 0.99, 1.0];
        let mut clusters = vec![vec![0; CLUSTER], vec![7; CLUSTER]];
        clusters.extend(shares.map(|share| of(share, &mut random)));
        clusters
    }

    #[test]
    fn the_result_does_not_depend_on_what_was_compressed_before() {
        for kind in [Compression::Zlib, Compression::Zstd] {
            let compress = |compressor: &mut Compressor, cluster: &[u8]| {
                compressor.compress(cluster).unwrap().to_vec()
            };
            let clusters = clusters();
            let alone: Vec<_> = clusters
                .iter()
                .map(|cluster| compress(&mut Compressor::new(kind).unwrap(), cluster))
                .collect();
            let mut used = Compressor::new(kind).unwrap();
            for round in 0..10 {
                for place in 0..clusters.len() {
                    let place = (place * (1 + round % 3) + round) % clusters.len();
                    assert!(
                        compress(&mut used, &clusters[place]) == alone[place],
                        "{kind:?}"
                    );
                }
            }
            // Zeros are short, and noise is left as it is.
            assert!((1..1000).contains(&alone[0].len()), "{}", alone[0].len());
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
