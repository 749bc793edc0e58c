//! Decompression of clusters.

use flate2::{Decompress, FlushDecompress};
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer};

use super::header::Compression;

/// QEMU compresses with a window of 4 KiB, and refuses what goes further back.
const WINDOW_BITS: u8 = 12;

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
            Compression::Zlib => {
                let decompress = Decompress::new_with_window_bits(false, WINDOW_BITS);
                Some(Self(Method::Zlib(decompress)))
            }
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
