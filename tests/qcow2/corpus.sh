#!/bin/sh
# Makes the corpus: small images of every kind, by qemu-img. Usage: corpus.sh DIRECTORY
set -eu
cd "$1"

secret='--object secret,id=s,data=pw'
make() { # NAME SIZE [OPTIONS]
    name=$1 size=$2
    shift 2
    # shellcheck disable=SC2086
    qemu-img create -q $secret -f qcow2 "$@" "$name.qcow2" "$size"
}
# What qemu-img cannot be made to write: sets one byte of a header.
poke() { # NAME OFFSET OCTAL
    printf "\\$3" | dd of="$1.qcow2" bs=1 seek="$2" conv=notrunc status=none
}
aes='encrypt.format=aes,encrypt.key-secret=s'
luks='encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10'

# Versions, sizes, clusters.
make plain 10G
make v2 10G -o compat=0.10
make empty 0
make odd-size 1000001
make huge 64P -o cluster_size=2M
make large-64k 60T
make tiny-disk 512
for size in 512 1k 4k 16k 128k 512k 1M 2M; do
    make "cluster-$size" 4M -o cluster_size=$size
done
make v2-cluster-2M 1G -o compat=0.10,cluster_size=2M

# Features.
for bits in 1 2 4 8 32 64; do
    make "refcount-$bits" 64M -o refcount_bits=$bits
done
make zstd 1G -o compression_type=zstd
make lazy 1G -o lazy_refcounts=on
make extended-l2 1G -o extended_l2=on
make extended-l2-16k 1G -o extended_l2=on,cluster_size=16k
make extended-l2-2M 1G -o extended_l2=on,cluster_size=2M,compression_type=zstd,lazy_refcounts=on
make all-options 1G -o extended_l2=on,lazy_refcounts=on,compression_type=zstd,refcount_bits=64
for kind in metadata falloc full; do
    make "prealloc-$kind" 4M -o preallocation=$kind
done
make dirty 1G -o lazy_refcounts=on
poke dirty 79 001
make corrupt 1G
poke corrupt 79 002

# Other files.
qemu-img create -q -f raw base.raw 16M
make base 16M
make backing 16M -b base.qcow2 -F qcow2
make backing-raw 16M -b base.raw -F raw
make backing-unformatted 16M -b base.qcow2 -F qcow2
poke backing-unformatted 112 001 # an extension of no known kind
make backing-v2 16M -b base.qcow2 -F qcow2 -o compat=0.10
make backing-zstd-snapshot 16M -b base.qcow2 -F qcow2 -o compression_type=zstd
qemu-img snapshot -c s1 backing-zstd-snapshot.qcow2
make backing-cluster-2M 16M -b base.qcow2 -F qcow2 -o cluster_size=2M
make backing-absolute 16M -u -b /etc/passwd -F raw
long=$(printf '%01023d' 0 | tr 0 b)
make backing-long 16M -u -b "$long" -F raw
make backing-long-4k 16M -u -b "$long" -F raw -o cluster_size=4k
make backing-json 16M -u -b 'json:{"driver":"file","filename":"base.raw"}' -F raw
make backing-nbd 16M -u -b nbd://localhost/x -F raw
make backing-utf8 16M -u -b 'Grüße/基.qcow2' -F qcow2
make data-file 16M -o data_file=data.raw
make data-file-raw 16M -o data_file=data2.raw,data_file_raw=on
make data-file-l2 16M -o data_file=data3.raw,extended_l2=on,cluster_size=128k
make data-file-backing 16M -o data_file=data4.raw -b base.qcow2 -F qcow2

# Encryption.
make luks 16M -o $luks
make luks-2M 16M -o $luks,cluster_size=2M
make luks-4k-zstd 16M -o $luks,cluster_size=4k,compression_type=zstd
make luks-backing 16M -o $luks -b base.qcow2 -F qcow2
make aes 16M -o $aes
make aes-v2 16M -o $aes,compat=0.10

# Snapshots and bitmaps.
make snapshot 1G
qemu-img snapshot -c s1 snapshot.qcow2
make snapshots 1G
for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
    qemu-img snapshot -c "before upgrade $n" snapshots.qcow2
done
make snapshots-v2-512 1M -o compat=0.10,cluster_size=512
qemu-img snapshot -c old snapshots-v2-512.qcow2
qemu-img snapshot -c older snapshots-v2-512.qcow2
make snapshot-deleted 1G
qemu-img snapshot -c s1 snapshot-deleted.qcow2
qemu-img snapshot -d s1 snapshot-deleted.qcow2
make bitmap 1G
qemu-img bitmap --add bitmap.qcow2 b0
make bitmaps 10G
qemu-img bitmap --add bitmaps.qcow2 b0
qemu-img bitmap --add --disable bitmaps.qcow2 "monday's"
qemu-img bitmap --add -g 512 bitmaps.qcow2 fine
qemu-img bitmap --add -g 2G bitmaps.qcow2 coarse
make bitmaps-snapshot 64M -o cluster_size=1k
qemu-img bitmap --add -g 4k bitmaps-snapshot.qcow2 b0
qemu-img snapshot -c s1 bitmaps-snapshot.qcow2
make bitmap-removed 1G
qemu-img bitmap --add bitmap-removed.qcow2 b0
qemu-img bitmap --remove bitmap-removed.qcow2 b0
make bitmaps-stale 1G
qemu-img bitmap --add bitmaps-stale.qcow2 b0
poke bitmaps-stale 95 000

# Changed after they were made.
make resized 1G
qemu-img resize -q resized.qcow2 3T
make shrunk 1G
qemu-img resize -q --shrink shrunk.qcow2 100M
make amended 1G -o compat=0.10
qemu-img amend -f qcow2 -o compat=1.1,lazy_refcounts=on amended.qcow2
qemu-img convert -q -c -f raw -O qcow2 base.raw compressed.qcow2
qemu-img convert -q -c -f raw -O qcow2 -o compression_type=zstd base.raw compressed-zstd.qcow2
qemu-io -f qcow2 -c 'write -P 7 0 1M' resized.qcow2 >/dev/null

# Everything else.
qemu-img create -q -f qcow old.qcow 16M
qemu-img create -q -f qed old.qed 16M
qemu-img create -q -f vmdk disk.vmdk 16M
qemu-img create -q -f vmdk -o subformat=monolithicFlat flat.vmdk 16M
qemu-img create -q -f vmdk -o subformat=streamOptimized stream.vmdk 16M
qemu-img create -q -f vdi disk.vdi 16M
qemu-img create -q -f vhdx disk.vhdx 16M
qemu-img create -q -f vpc disk.vhd 16M
qemu-img create -q -f vpc -o subformat=fixed fixed.vhd 16M
qemu-img create -q -f parallels disk.hdd 16M
# shellcheck disable=SC2086
qemu-img create -q $secret -f luks -o key-secret=s,iter-time=10 disk.luks 16M
rm -f data*.raw
