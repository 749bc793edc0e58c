#!/bin/sh
# Makes images with something in them, by qemu-img and qemu-io. Usage: disks.sh DIRECTORY
set -eu
cd "$1"

# In subshells, so that the names stay their own.
io() ( # NAME COMMAND...
    name=$1
    shift
    for command; do
        set -- "$@" -c "$command"
        shift
    done
    qemu-io -f qcow2 "$@" "$name.qcow2" >/dev/null
)
make() ( # NAME SIZE [OPTIONS]
    name=$1 size=$2
    shift 2
    qemu-img create -q -f qcow2 "$@" "$name.qcow2" "$size"
)

# A disk with text, noise, zeros and holes.
{
    head -c 300000 /dev/urandom
    seq 1 150000
    head -c 200000 /dev/zero
    seq 1 50000
    head -c 70000 /dev/urandom
} >source.raw
truncate -s 3M source.raw

for size in 512 1k 2k 4k 8k 16k 32k 64k 128k 256k 512k 1M 2M; do
    for compat in 0.10 1.1; do
        options="-o cluster_size=$size,compat=$compat"
        qemu-img convert -O qcow2 $options source.raw "plain-$size-$compat.qcow2"
        qemu-img convert -c -O qcow2 $options source.raw "zlib-$size-$compat.qcow2"
        cp "zlib-$size-$compat.qcow2" "mixed-$size-$compat.qcow2"
        io "mixed-$size-$compat" "write -P 7 300k 100k" "write -P 8 2050k 3k"
    done
    qemu-img convert -c -O qcow2 -o "cluster_size=$size,compression_type=zstd" \
        source.raw "zstd-$size.qcow2"
    make "zeros-$size" 8M -o "cluster_size=$size"
    io "zeros-$size" "write -P 1 1M 4M" "write -z 2M 1M" "write -z -u 4M 512k" "discard 1M 256k"
done

# Extended L2 entries: parts of clusters that are data, zeros or nothing.
for size in 16k 64k 512k 2M; do
    make "extended-$size" 32M -o "extended_l2=on,cluster_size=$size"
    io "extended-$size" "write -P 1 0 1k" "write -P 2 4k 2k" "write -z 6k 2k" "write -P 3 5M 3M" \
        "write -z 6M 700k" "discard 7M 100k" "write -c -P 4 10M 2M" "write -P 5 30M 1k" "write -z 14M 1M"
    qemu-img convert -c -O qcow2 -o "extended_l2=on,cluster_size=$size,compression_type=zstd" \
        source.raw "extended-zstd-$size.qcow2"
done

for kind in metadata falloc full; do
    make "prealloc-$kind" 4M -o preallocation=$kind
    io "prealloc-$kind" "write -P 1 1M 100k"
done

make snapshots 8M
io snapshots "write -P 1 0 1M" "write -P 2 4M 1M"
qemu-img snapshot -c first snapshots.qcow2
io snapshots "write -P 3 512k 1M" "write -z 4M 128k"
qemu-img snapshot -c second snapshots.qcow2
io snapshots "write -P 4 0 100k"

# Sizes.
make empty 0
make sector 512
io sector "write -P 1 0 512"
make odd 1000448
io odd "write -P 1 990000 10448"
qemu-img convert -c -O qcow2 odd.qcow2 odd-zlib.qcow2
make all-zero 10M
make large 4T
io large "write -P 1 0 1M" "write -P 2 1T 1M" "write -P 3 3000G 64k" "write -P 4 4398046510592 512"

# Without holes in the files: qemu-img map reports those as zeros of the guest.
for file in *.qcow2; do
    cp --sparse=never "$file" copy
    mv copy "$file"
done
