const CLUSTER: u64 = 64 << 10;
/// The guest bytes behind one L1 entry: an L2 table of one cluster, with 8 bytes per cluster.
const MAPPED: u64 = CLUSTER * (CLUSTER / 8);
/// The largest disk: QEMU's largest L1 table, whose reference counts still fit into one cluster.
const MAX: u64 = (32 << 20) / 8 * MAPPED;

/// Returns a valid, empty QCOW2 image of a disk of `virtual_size` bytes, at most 2 PiB.
///
/// It equals the output of `qemu-img create`, and passes the client's inspection. It takes 256 KiB
/// for disks up to 4 TiB. Bytes appended to it are ignored by QEMU.
///
/// ```
/// use machine_images::qcow2::{self, Inspection, Policy, Verdict};
///
/// let image = machine_images::testing::empty_qcow2(10 << 30);
/// match qcow2::inspect(&image, Some(image.len() as u64), &Policy::default()) {
///     Inspection::Done(report) => assert_eq!(report.verdict(), Verdict::Accept),
///     more => unreachable!("{more:?}"),
/// }
/// ```
#[must_use]
pub fn empty_qcow2(virtual_size: u64) -> Vec<u8> {
    let virtual_size = virtual_size.min(MAX);
    let l1_entries = virtual_size.div_ceil(MAPPED);
    let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER).max(1);
    let clusters = 3 + l1_clusters;

    let mut image = Vec::new();
    image.extend(b"QFI\xfb\0\0\0\x03"); // version 3
    image.extend([0; 12]); // no backing file
    image.extend(CLUSTER.ilog2().to_be_bytes());
    image.extend(virtual_size.to_be_bytes());
    image.extend([0; 4]); // no encryption
    // Below 2^32, as the size is bounded.
    image.extend((l1_entries as u32).to_be_bytes());
    image.extend((3 * CLUSTER).to_be_bytes()); // L1 table
    image.extend(CLUSTER.to_be_bytes()); // refcount table
    image.extend(1_u32.to_be_bytes()); // of one cluster
    image.extend([0; 12]); // no snapshots
    image.extend([0; 24]); // no features
    image.extend(4_u32.to_be_bytes()); // counts of 16 bits
    image.extend(104_u32.to_be_bytes()); // length of this header

    image.resize(CLUSTER as usize, 0);
    image.extend((2 * CLUSTER).to_be_bytes()); // the only block of counts
    image.resize(2 * CLUSTER as usize, 0);
    (0..clusters).for_each(|_| image.extend(1_u16.to_be_bytes()));
    image.resize((clusters * CLUSTER) as usize, 0);
    image
}
