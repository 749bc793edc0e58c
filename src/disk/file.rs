//! The file of an image: on a server, or local.

use std::ops::Range;
#[cfg(feature = "fs")]
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use crate::content::{Location, Version};
#[cfg(feature = "fs")]
use crate::error::Error;
use crate::error::Result;
use crate::operation::Operation;

/// The file of an image, of one version.
#[derive(Clone)]
pub(crate) enum ImageFile {
    Remote {
        location: Location,
        version: Version,
    },
    #[cfg(feature = "fs")]
    Local { file: Arc<File>, path: PathBuf },
}

impl ImageFile {
    /// Returns the operation of reading the disk that is in it.
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Remote { location, .. } => location.operation.clone(),
            #[cfg(feature = "fs")]
            Self::Local { path, .. } => local_operation(path),
        }
    }

    /// Reads a range, which must end within the file.
    pub(crate) async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        match self {
            Self::Remote { location, version } => {
                let operation = location.operation.clone();
                let read = location.clone().read(Some(version.clone()), range);
                let (_, bytes) = operation.run(read).await?;
                Ok(bytes)
            }
            #[cfg(feature = "fs")]
            Self::Local { file, .. } => {
                let file = file.clone();
                let read = tokio::task::spawn_blocking(move || {
                    let mut bytes = vec![0; (range.end - range.start) as usize];
                    let read = crate::file::read_at(&file, &mut bytes, range.start);
                    read.map_err(|error| Error::io("cannot read the file", error))?;
                    Ok(bytes.into())
                });
                read.await.map_err(crate::join::lost)?
            }
        }
    }
}

/// Returns the operation of reading the disk that is in a local file.
#[cfg(feature = "fs")]
pub(crate) fn local_operation(path: &Path) -> Operation {
    Operation::new("read disk of file").on(path.display())
}
