//! From which size on a thread and a connection of its own pay for a transfer.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use machine_images::Error;
use machine_images::djinn::{Images, Source};

use crate::images::{self, SMALL};
use crate::measure::{cost, median};
use crate::nginx::Nginx;
use crate::{Args, sink};

const KIB: [u64; 6] = [64, 256, 1024, 4096, 16_384, 65_536];
const ROUNDS: usize = 31;

pub(crate) fn run(args: &Args) {
    if !args.wants("small") {
        return;
    }
    println!(
        "| KiB | save_to, ms | stream and write | upload of a file, ms | of bytes | a thread and back, ms |"
    );
    println!("|---|---|---|---|---|---|");
    for kib in KIB {
        let images = images::Images::new();
        let image = images.small(SMALL, kib);
        let nginx = Nginx::start(images.directory());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["client", &nginx.base(), "small", &sink::start("127.0.0.1")])
            .arg(image)
            .arg(args.directory.join("transfer-bench"));
        cost(&mut command);
    }
}

/// Runs in a process of its own, with everything in turn; prints a row.
pub(crate) async fn measure(
    images: Images,
    sink: Images,
    image: &Path,
    target: &Path,
) -> Result<(), Error> {
    let mut times: [Vec<f64>; 5] = Default::default();
    for round in 0..=ROUNDS {
        for (way, times) in times.iter_mut().enumerate() {
            let bytes = std::fs::read(image).unwrap();
            let began = Instant::now();
            match way {
                0 => drop(images.save(SMALL as i64, target).durable(false).await?),
                1 => {
                    let bytes = images.content(SMALL as i64).await?.bytes().await?;
                    std::fs::write(target, bytes).unwrap();
                }
                2 => drop(sink.create_upload("x", Source::file(image)).send().await?),
                3 => drop(sink.create_upload("x", bytes).send().await?),
                // What handing work to another thread takes, as the disk may be slow.
                _ => tokio::task::spawn_blocking(|| ()).await.unwrap(),
            }
            if round > 0 {
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
            let _ = std::fs::remove_file(target);
        }
    }
    let kib = std::fs::metadata(image).unwrap().len() >> 10;
    let [save, stream, file, bytes, thread] = times.map(median);
    println!("| {kib} | {save:.2} | {stream:.2} | {file:.2} | {bytes:.2} | {thread:.3} |");
    Ok(())
}
