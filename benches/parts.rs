//! The parts that see every page or every byte: `cargo bench --bench parts`.
//!
//! Private ones are included from their source, so that nothing is public for this alone.
#![allow(missing_docs)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

// Their tests are compiled without being run.
#[allow(dead_code, unused_imports)]
#[path = "../src/transport/link.rs"]
mod link;
#[allow(dead_code)]
#[path = "transfer/pages.rs"]
mod pages;
#[allow(unused_imports)]
#[path = "../src/file/zeros.rs"]
mod zeros;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use machine_images::djinn::Image;
use sha2::{Digest, Sha256};

const MIB: usize = 1 << 20;

fn lists(criterion: &mut Criterion) {
    let line = "</api/images?page=1&search=debian>; rel=\"prev\", \
                </api/images?page=3&search=debian>; rel=\"next\"";
    criterion.bench_function("read the Link of a page", |bencher| {
        bencher.iter(|| link::Links::parse([black_box(line)]));
    });
    let page = pages::rows(1);
    let mut group = criterion.benchmark_group("lists");
    group.throughput(Throughput::Bytes(page.len() as u64));
    group.bench_function(
        "decode a page of 25 images, checked as a whole",
        |bencher| {
            bencher.iter(|| {
                let text = std::str::from_utf8(black_box(page.as_bytes())).unwrap();
                serde_json::from_str::<Vec<Image>>(text).unwrap()
            });
        },
    );
    group.bench_function("the same, checked string by string", |bencher| {
        bencher.iter(|| serde_json::from_slice::<Vec<Image>>(black_box(page.as_bytes())).unwrap());
    });
    group.finish();
}

fn contents(criterion: &mut Criterion) {
    let zeros = vec![0; MIB];
    let mut data = vec![0; MIB];
    fastrand::Rng::with_seed(1).fill(&mut data);
    // The most expensive to tell: zeros up to the end of each block.
    let mut late = vec![0; MIB];
    late.iter_mut()
        .skip(4095)
        .step_by(4096)
        .for_each(|byte| *byte = 1);
    let mut group = criterion.benchmark_group("contents");
    group.throughput(Throughput::Bytes(MIB as u64));
    for (name, bytes) in [("zeros", &zeros), ("data", &data), ("late ones", &late)] {
        group.bench_function(format!("search {name} for zeros"), |bencher| {
            bencher.iter(|| zeros::written(black_box(bytes), 0).count());
        });
    }
    group.bench_function("SHA-256", |bencher| {
        bencher.iter(|| Sha256::digest(black_box(&data)));
    });
    group.finish();
}

criterion_group!(parts, lists, contents);
criterion_main!(parts);
