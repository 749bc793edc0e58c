//! Any bytes as a compressed cluster: nothing after it is written, and the next one is right.

#![no_main]
#![allow(dead_code)]

#[path = "../../src/qcow2/cluster.rs"]
mod cluster;
#[path = "../../src/qcow2/header.rs"]
mod header;

use std::sync::LazyLock;

use cluster::Decompressor;
use header::Compression;
use libfuzzer_sys::fuzz_target;

const RIGHT: &[u8] = b"a cluster, a cluster, a cluster, a cluster, a cluster";

/// The same bytes, compressed by each method.
static COMPRESSED: LazyLock<[(Compression, Vec<u8>); 2]> = LazyLock::new(|| {
    use std::io::Write;

    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(RIGHT).expect("room");
    let deflated = encoder.finish().expect("room");
    let framed = zstd::bulk::compress(RIGHT, 3).expect("room");
    [(Compression::Zlib, deflated), (Compression::Zstd, framed)]
});

fuzz_target!(|input: (u16, &[u8])| {
    let (length, bytes) = input;
    let length = usize::from(length);
    for (compression, compressed) in &*COMPRESSED {
        let mut decompressor = Decompressor::new(*compression).expect("a known method");
        let mut found = [0, 1].map(|byte| vec![byte; length + 64]);
        let filled = found
            .each_mut()
            .map(|room| decompressor.fill(bytes, &mut room[..length]));
        assert_eq!(filled[0], filled[1]);
        for (byte, room) in found.iter().enumerate() {
            assert!(
                room[length..]
                    .iter()
                    .all(|&after| usize::from(after) == byte)
            );
        }
        if filled[0] {
            assert!(found[0][..length] == found[1][..length]);
        }
        let mut cluster = vec![0; RIGHT.len()];
        assert!(decompressor.fill(compressed, &mut cluster));
        assert_eq!(cluster, RIGHT);
    }
});
