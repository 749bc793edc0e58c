//! What must hold after a call, whatever came of it.

use futures::TryStreamExt;
use machine_images::Digest;
use machine_images::djinn::ImageId;

use super::calls::{Call, OLD, OTHER};
use super::run::{Setup, Site};

impl Call {
    /// What must hold when all faults are over, whatever came of the call.
    ///
    /// `doubtful` are bytes that no client without a digest can tell from the image.
    pub(crate) async fn violations(
        &self,
        setup: &Setup,
        succeeded: bool,
        doubtful: bool,
    ) -> Vec<String> {
        match self {
            Self::File {
                id, large, over, ..
            } => {
                let mut violations = Vec::new();
                let found = std::fs::read(self.path(setup)).ok();
                if !succeeded && found.as_deref() != over.then_some(OLD) {
                    violations.push("a failure changed the file".to_owned());
                }
                violations.extend(self.saved_violations(setup, *id, *large).await);
                violations
            }
            Self::Upload {
                name,
                shared,
                taken,
                large,
                ..
            } => {
                let foreign = usize::from(*taken);
                let bytes = Some(setup.bytes(*large));
                let place = setup.site(false);
                self.created_violations(place, name, *shared, foreign, bytes)
                    .await
            }
            Self::Download { name, .. } => {
                let bytes = Some(&*setup.content.small);
                self.created_violations(setup.site(false), name, false, 0, bytes)
                    .await
            }
            Self::Copy {
                name,
                back,
                large,
                digest,
                ..
            } => {
                let bytes = (!doubtful || *digest).then(|| setup.bytes(*large));
                self.created_violations(setup.site(!*back), name, false, 0, bytes)
                    .await
            }
            _ => Vec::new(),
        }
    }

    /// Of a creation there is one image or none, and it is whole; another user's stays.
    async fn created_violations(
        &self,
        site: Site<'_>,
        name: &str,
        shared: bool,
        foreign: usize,
        bytes: Option<&[u8]>,
    ) -> Vec<String> {
        let list = site.afterwards.list().search(name);
        let all = list.stream().try_collect::<Vec<_>>().await;
        let all = match all {
            Ok(all) => all,
            Err(error) => return vec![format!("no list afterwards: {error:?}")],
        };
        let named = all.iter().filter(|image| image.name == name);
        let (others, mine): (Vec<_>, Vec<_>) = named.partition(|image| {
            let author = image.author.as_ref();
            author.is_some_and(|author| author.username == OTHER)
        });
        let mut violations = Vec::new();
        if let [image, ..] = mine[..] {
            let found = site.server.content(image.id.get());
            let is_same = bytes.is_none_or(|bytes| found.as_deref() == Some(bytes));
            if image.download.is_none() && !is_same {
                violations.push("a part of an upload became an image".to_owned());
            }
            if image.namespace_id.is_some() != shared {
                violations.push("the image is in another place".to_owned());
            }
        }
        if mine.len() + foreign > 1 {
            violations.push("there is a second image of the name".to_owned());
        }
        if others.len() != foreign {
            violations.push("another user's image is gone".to_owned());
        }
        violations
    }

    /// Another fetch makes the file whole, and leaves nothing beside it.
    async fn saved_violations(&self, setup: &Setup, id: ImageId, large: bool) -> Vec<String> {
        let (path, bytes) = (self.path(setup), setup.bytes(large));
        let mut violations = Vec::new();
        let digest = Digest::of(bytes);
        let again = setup.afterwards.save(id, &path).durable(false);
        match again.clone().await {
            Err(error) => violations.push(format!("it cannot be fetched afterwards: {error:?}")),
            Ok(_) if std::fs::read(&path).is_ok_and(|found| found == bytes) => {}
            Ok(_) => match again.sha256(digest).await {
                Ok(_) => violations.push("it had other bytes once more".to_owned()),
                Err(error) => violations.push(format!("it is spoilt: {error:?}")),
            },
        }
        let left = std::fs::read_dir(setup.directory.path());
        let strange = left.into_iter().flatten().flatten().filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(&format!("{id}.")) && !name.ends_with(".qcow2")
        });
        violations.extend(strange.map(|entry| format!("{:?} is left", entry.file_name())));
        violations
    }
}
