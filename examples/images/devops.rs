//! The commands for a DevOps Service.

use std::env::{self, VarError};

use futures::TryStreamExt;
use machine_images::devops::{Client, Image, Images, NewImage};
use serde_json::json;

use super::args::{Devops, DevopsCommand, no_server, wrong_usage};
use super::demo;
use super::output::{Output, Result, given};

pub(crate) async fn run(args: Devops, output: &Output) -> Result {
    if args.demo {
        let (client, _server) = demo::devops()?;
        return command(client.images(), args.command, output).await;
    }
    command(client(&args, output)?.images(), args.command, output).await
}

/// A client for the server that was named.
fn client(args: &Devops, output: &Output) -> Result<Client> {
    let Some(server) = given(&args.server) else {
        no_server("DEVOPS_SERVER");
    };
    let set = |argument: &Option<String>, variable| {
        let argument = argument.clone();
        argument.or_else(|| match env::var(variable) {
            Err(VarError::NotUnicode(_)) => wrong_usage(format!("{variable} is not UTF-8")),
            value => value.ok(),
        })
    };
    let (user, password) = (
        set(&args.user, "DEVOPS_USER"),
        set(&args.password, "DEVOPS_PASSWORD"),
    );
    let token = match given(&args.user).is_some() || args.password.is_some() {
        true => None,
        false => set(&args.token, "DEVOPS_TOKEN"),
    };
    let builder = Client::builder(server).retry(output.retry());
    let builder = match (given(&token), given(&user)) {
        (Some(token), _) => builder.token(token),
        (None, Some(user)) => builder.basic(user, password.unwrap_or_default()),
        (None, None) if args.password.is_some() => {
            wrong_usage("--password needs a user: set --user or DEVOPS_USER")
        }
        (None, None) => builder,
    };
    Ok(builder.build()?)
}

async fn command(images: Images, command: DevopsCommand, output: &Output) -> Result {
    match command {
        DevopsCommand::List { provider } => list(&images, provider, output).await,
        DevopsCommand::Get { id } => show(output, &images.get(id).await?),
        DevopsCommand::Create {
            id,
            provider,
            remote_user,
            name,
        } => {
            let image = NewImage::new(id, provider, remote_user, name);
            let created = images.create(image).await?;
            let message = created.message.unwrap_or_default();
            output.object(
                &json!({ "id": created.id, "message": message }),
                &[("id", created.id.to_string()), ("message", message.clone())],
            )
        }
        DevopsCommand::Update {
            id,
            remote_user,
            name,
        } => {
            let mut update = images.update(id.as_str());
            if let Some(user) = remote_user {
                update = update.remote_user(user);
            }
            if let Some(name) = name {
                update = update.name(name);
            }
            match update.await?.image {
                Some(image) => show(output, &image),
                // Version 2 does not send it.
                None => show(output, &images.get(id).await?),
            }
        }
        DevopsCommand::Delete { id } => {
            images.delete(id.as_str()).await?;
            output.deleted(&id)
        }
    }
}

async fn list(images: &Images, provider: Option<String>, output: &Output) -> Result {
    let mut list = images.list();
    if let Some(provider) = provider {
        list = list.provider(provider);
    }
    let mut all = list.stream();
    let head = ["ID", "PROVIDER", "REMOTE USER", "NAME"].map(String::from);
    let mut rows = vec![head.to_vec()];
    while let Some(image) = all.try_next().await? {
        if output.json {
            output.line(&image)?;
            continue;
        }
        let Image {
            id,
            provider,
            remote_user,
            name,
            ..
        } = image;
        rows.push(vec![id.to_string(), provider, remote_user, name]);
    }
    match output.json {
        true => Ok(()),
        false => output.table(&rows),
    }
}

fn show(output: &Output, image: &Image) -> Result {
    output.object(
        image,
        &[
            ("id", image.id.to_string()),
            ("provider", image.provider.clone()),
            ("remote user", image.remote_user.clone()),
            ("name", image.name.clone()),
            (
                "bootstrap template",
                image.bootstrap_template.clone().unwrap_or_default(),
            ),
        ],
    )
}
