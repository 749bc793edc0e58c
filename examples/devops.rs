//! An image of a DevOps Service from its creation to its end, on an embedded server:
//!
//! ```text
//! cargo run --example devops --features testing
//! ```
#![allow(clippy::print_stdout)]

use futures::TryStreamExt;
use machine_images::ErrorKind;
use machine_images::devops::{Client, NewImage};
use machine_images::testing::DevopsServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = DevopsServer::start()?;
    let (user, password) = server.login();
    println!("a DevOps Service listens on {}", server.url());
    let client = Client::builder(server.url())
        .basic(user, password)
        .build()?;
    let images = client.images();

    let id = "ami-63071b0a";
    let image = NewImage::new(id, "ec2", "ec2-user", "debian-12");
    let created = images.create(image).await?;
    let words = created.message.unwrap_or_default();
    println!("create {id}: the server says {words:?}");

    let image = images.get(id).await?;
    println!(
        "show {}: {:?}, logged in to as {}, at {}",
        image.id, image.name, image.remote_user, image.provider
    );

    let updated = images.update(id).name("debian-13").await?;
    match updated.image {
        Some(image) => println!("update {id}: the name is {:?} now", image.name),
        // Version 2 does not show the image.
        None => println!("update {id}: done"),
    }

    let other = NewImage::new("3fe2c6b0/debian", "openstack", "debian", "");
    images.create(other).await?;
    println!("list, all of them one by one:");
    let mut all = images.list().stream();
    while let Some(image) = all.try_next().await? {
        println!("  {} at {}", image.id, image.provider);
    }
    let of_provider = images.list().provider("openstack").await?;
    println!("list, of openstack alone: {}", of_provider.len());

    server.mark_in_use("3fe2c6b0/debian", "proj.test");
    for id in [id, "3fe2c6b0/debian"] {
        match images.delete(id).await {
            Ok(()) => println!("delete {id}: it is gone"),
            Err(error) if error.kind() == ErrorKind::Rejected => {
                println!("delete {id}: refused: {}", error.message().unwrap_or("?"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
