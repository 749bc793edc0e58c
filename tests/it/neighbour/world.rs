//! A directory for a fetch, one with what must not be touched, and what comes between.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use machine_images::{Error, Saved};

/// Nobody, on most systems; another user in any case.
pub(super) const OTHER: u32 = 65_534;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Fifo,
    Directory,
    Link,
    DanglingLink,
    HardLink,
    File,
    AnothersFile,
    ReadOnly,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::Fifo,
        Self::Directory,
        Self::Link,
        Self::DanglingLink,
        Self::HardLink,
        Self::File,
        Self::AnothersFile,
        Self::ReadOnly,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    Target,
    Part,
    Journal,
    Spare,
}

impl Place {
    pub(super) const ALL: [Self; 4] = [Self::Target, Self::Part, Self::Journal, Self::Spare];
}

pub(super) struct World {
    root: tempfile::TempDir,
    /// What the target may be if the fetch fails.
    planted: Vec<(u64, u64)>,
    moved: usize,
}

impl World {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let world = Self {
            root,
            planted: Vec::new(),
            moved: 0,
        };
        for directory in [world.here(), world.elsewhere(), world.aside()] {
            fs::create_dir(directory).unwrap();
        }
        for name in ["linked", "hard", "other"] {
            fs::write(world.elsewhere().join(name), name.repeat(10_000)).unwrap();
        }
        world
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where the fetch has its files.
    pub(super) fn here(&self) -> PathBuf {
        self.root.path().join("here")
    }

    /// Where nothing may change.
    pub(super) fn elsewhere(&self) -> PathBuf {
        self.root.path().join("elsewhere")
    }

    fn aside(&self) -> PathBuf {
        self.root.path().join("aside")
    }

    pub(super) fn target(&self) -> PathBuf {
        self.path(Place::Target)
    }

    pub(super) fn path(&self, place: Place) -> PathBuf {
        self.here().join(match place {
            Place::Target => "disk",
            Place::Part => "disk.part",
            Place::Journal => "disk.part.state",
            Place::Spare => "disk.part.new",
        })
    }

    /// Moves away what is there, and puts something else there.
    pub(super) fn plant(&mut self, place: Place, kind: Kind) {
        let path = self.path(place);
        if kind != Kind::ReadOnly && fs::symlink_metadata(&path).is_ok() {
            self.moved += 1;
            fs::rename(&path, self.aside().join(self.moved.to_string())).unwrap();
        }
        let elsewhere = self.elsewhere();
        match kind {
            Kind::Fifo => assert!(
                Command::new("mkfifo")
                    .arg(&path)
                    .status()
                    .unwrap()
                    .success()
            ),
            Kind::Directory => fs::create_dir(&path).unwrap(),
            Kind::Link => symlink(elsewhere.join("linked"), &path).unwrap(),
            Kind::DanglingLink => symlink(elsewhere.join("missing"), &path).unwrap(),
            Kind::HardLink => fs::hard_link(elsewhere.join("hard"), &path).unwrap(),
            Kind::File => fs::write(&path, "planted").unwrap(),
            Kind::AnothersFile => {
                fs::write(&path, "planted").unwrap();
                fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
                chown(&path, Some(OTHER), Some(OTHER)).unwrap();
            }
            Kind::ReadOnly => {
                if !path.exists() {
                    fs::write(&path, "planted").unwrap();
                }
                fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
            }
        }
        if place == Place::Target {
            let planted = fs::symlink_metadata(path).unwrap();
            self.planted.push((planted.dev(), planted.ino()));
        }
    }

    /// All that is not to be touched, with its contents.
    fn bystanders(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.elsewhere()).unwrap();
        let mut all: Vec<_> = entries
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap())
            })
            .collect();
        all.sort();
        all
    }

    /// Whatever came of it is no harm.
    pub(super) fn assert_unharmed(&self, is_ok: bool, image: &[u8], uid: u32) {
        let names = ["hard", "linked", "other"];
        let expected = names.map(|name| (name.to_owned(), name.repeat(10_000).into_bytes()));
        assert!(self.bystanders() == expected, "a bystander was written to");
        let target = fs::symlink_metadata(self.target());
        if is_ok {
            let target = target.unwrap();
            assert!(target.is_file() && target.uid() == uid && target.nlink() == 1);
            assert!(fs::read(self.target()).unwrap() == image);
        } else if let Ok(target) = target {
            let this = (target.dev(), target.ino());
            assert!(self.planted.contains(&this), "the target was given away");
        }
    }
}

/// What came of a fetch.
pub(super) fn outcome(result: &Result<Saved, Error>, here: &Path) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => {
            let text = super::brief(format!("{error:?}"), here);
            let text = text
                .split_once("disk: ")
                .map_or(text.as_str(), |(_, text)| text);
            format!("{}: {text}", error.kind())
        }
    }
}
