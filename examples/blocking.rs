//! A program without async code: it uploads an image, reads from it, and lists what there is.
//!
//! `cargo run --features blocking --example blocking -- debian-12 debian-12.qcow2`
//!
//! Needs `DJINN_API_SERVER` and `DJINN_TOKEN`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::io::{Read, Seek, SeekFrom};

use machine_images::Progress;
use machine_images::blocking::{Reader, Wait};
use machine_images::djinn::{Client, Source};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(path)) = (args.next(), args.next()) else {
        return Err("usage: blocking NAME FILE".into());
    };
    let images = Client::from_env()?.images();

    let image = images
        .create_upload(&name, Source::file(path))
        .progress(|progress: Progress| eprintln!("{} bytes", progress.done))
        .wait()?;
    println!("created image {}", image.id);

    let mut reader = Reader::new(images.reader(image.id));
    let mut magic = [0; 4];
    reader.read_exact(&mut magic)?;
    let length = reader.seek(SeekFrom::End(0))?;
    println!("{length} bytes that begin with {}", magic.escape_ascii());

    for image in images.list().iter() {
        let image = image?;
        println!("{} {}", image.id, image.name);
    }
    Ok(())
}
