//! What is read from an image equals what `qemu-img info` reads from it.

use std::path::Path;
use std::process::{Command, Stdio};

use machine_images::qcow2::{
    self, Code, Compression, Encryption, Format, Header, Policy, Report, Verdict,
};
use serde_json::{Map, Value, json};

use crate::corpus;

/// Whether `qemu-img info` opens a file as QCOW2.
pub(crate) fn opens(path: &Path) -> bool {
    let mut info = Command::new("qemu-img");
    info.args(["info", "-f", "qcow2"])
        .arg(path)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    info.status().unwrap().success()
}

/// What `qemu-img info` says, without what is not of the image: names and sizes of host files,
/// what is in the LUKS header, and QEMU's own conclusions.
fn info(path: &Path) -> Value {
    let mut info = Command::new("qemu-img");
    info.args(["info", "--output=json"]).arg(path);
    let output = info.output().unwrap();
    let mut info: Value = serde_json::from_slice(&output.stdout).unwrap();
    let object = info.as_object_mut().unwrap();
    for host in [
        "children",
        "filename",
        "actual-size",
        "full-backing-filename",
    ] {
        object.remove(host);
    }
    if let Some(encrypt) = info.pointer_mut("/format-specific/data/encrypt") {
        *encrypt = json!({ "format": encrypt["format"] });
    }
    for snapshot in info["snapshots"].as_array_mut().into_iter().flatten() {
        snapshot.as_object_mut().unwrap().remove("icount");
    }
    if info["snapshots"].is_null() {
        info.as_object_mut().unwrap().remove("snapshots");
    }
    info
}

/// A report in the words of `qemu-img info`.
fn in_qemus_words(report: &Report) -> Value {
    let header = report.header.as_ref().unwrap();
    let mut info = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            info.insert(key.to_owned(), value);
        }
    };
    put("format", json!(report.format));
    put("virtual-size", json!(header.virtual_size));
    put("cluster-size", json!(header.cluster_size));
    put("dirty-flag", json!(header.features.dirty()));
    put(
        "encrypted",
        header.encryption.map_or(Value::Null, |_| json!(true)),
    );
    put("backing-filename", json!(header.backing_file));
    put("backing-filename-format", json!(header.backing_format));
    put(
        "snapshots",
        list(report.snapshots.iter().map(|snapshot| {
            json!({
                "id": snapshot.id,
                "name": snapshot.name,
                "date-sec": snapshot.date_sec,
                "date-nsec": snapshot.date_nsec,
                "vm-clock-sec": snapshot.vm_clock_nsec / 1_000_000_000,
                "vm-clock-nsec": snapshot.vm_clock_nsec % 1_000_000_000,
                "vm-state-size": snapshot.vm_state_size,
            })
        })),
    );
    put(
        "format-specific",
        json!({ "type": "qcow2", "data": specific(report, header) }),
    );
    Value::Object(info)
}

fn specific(report: &Report, header: &Header) -> Value {
    let mut data = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            data.insert(key.to_owned(), value);
        }
    };
    put(
        "compression-type",
        match header.compression {
            Compression::Zlib => json!("zlib"),
            Compression::Zstd => json!("zstd"),
            other => panic!("{other:?}"),
        },
    );
    put("refcount-bits", json!(header.refcount_bits));
    put(
        "encrypt",
        match header.encryption {
            None => Value::Null,
            Some(Encryption::Aes) => json!({ "format": "aes" }),
            Some(Encryption::Luks) => json!({ "format": "luks" }),
            Some(other) => panic!("{other:?}"),
        },
    );
    if header.version == 2 {
        put("compat", json!("0.10"));
        return Value::Object(data);
    }
    put("compat", json!("1.1"));
    put("lazy-refcounts", json!(header.features.lazy_refcounts()));
    put("corrupt", json!(header.features.corrupt()));
    put("extended-l2", json!(header.features.extended_l2()));
    if let Some(file) = &header.data_file {
        put("data-file", json!(file.name));
        put("data-file-raw", json!(file.raw));
    }
    put(
        "bitmaps",
        list(report.bitmaps.iter().map(|bitmap| {
            let flags = [(bitmap.in_use, "in-use"), (bitmap.auto, "auto")];
            let flags: Vec<_> = flags
                .iter()
                .filter(|flag| flag.0)
                .map(|flag| flag.1)
                .collect();
            json!({ "name": bitmap.name, "granularity": bitmap.granularity, "flags": flags })
        })),
    );
    Value::Object(data)
}

/// QEMU leaves out empty lists.
fn list(items: impl Iterator<Item = Value>) -> Value {
    let items: Vec<_> = items.collect();
    if items.is_empty() {
        Value::Null
    } else {
        Value::Array(items)
    }
}

fn inspected(path: &Path) -> Report {
    qcow2::inspect_file(path, &Policy::default()).unwrap()
}

#[test]
fn every_field_equals_that_of_qemu_img_info() {
    let Some(images) = corpus::qcow2() else {
        return;
    };
    assert!(images.len() >= 65);
    for (image, _) in images {
        let report = inspected(&image.path);
        assert_eq!(in_qemus_words(&report), info(&image.path), "{}", image.name);
    }
}

#[test]
fn what_is_not_qcow2_is_named_as_qemu_img_names_it() {
    let Some(images) = corpus::images() else {
        return;
    };
    let others: Vec<_> = images
        .iter()
        .filter(|image| !image.name.ends_with(".qcow2"))
        .collect();
    assert!(others.len() >= 12);
    for image in others {
        let report = inspected(&image.path);
        let named = match report.format {
            Format::Unknown => "raw",
            Format::Vhd => "vpc",
            format => format.as_str(),
        };
        // QEMU takes a VHD of fixed size for a raw disk unless it is told.
        let expected = match image.name.as_str() {
            "fixed.vhd" => json!("vpc"),
            _ => info(&image.path)["format"].take(),
        };
        assert_eq!(named, expected, "{}", image.name);
        assert_eq!(report.verdict(), Verdict::Reject);
        assert!(report.has(Code::NotQcow2) && report.header.is_none());
    }
}

/// The format that `qemu-img info` guesses, if it opens the image as that.
fn guessed(path: &Path) -> Option<Value> {
    let mut info = Command::new("qemu-img");
    let output = info.args(["info", "--output=json"]).arg(path).output();
    let info: Value = serde_json::from_slice(&output.unwrap().stdout).ok()?;
    Some(info["format"].clone())
}

#[test]
fn what_has_the_magic_of_another_format_too_is_accepted_only_if_qemu_takes_it_for_qcow2() {
    let Some(plain) = corpus::path("plain.qcow2") else {
        return;
    };
    let plain = std::fs::read(plain).unwrap();
    let end = plain.len();
    let cases: [(&str, usize, &[u8], bool); 14] = [
        ("vdi", 0x40, b"\x7f\x10\xda\xbe", true),
        ("tar", 257, b"ustar", false),
        ("mbr", 510, b"\x55\xaa", false),
        ("gpt", 512, b"EFI PART", false),
        ("luks", 4096, b"LUKS\xba\xbe\0\x01", false),
        ("iso", 0x8001, b"CD001", false),
        ("vhdx", 0x8000, b"vhdxfile", false),
        ("vmdk", 512, b"# Disk DescriptorFile\nversion=1\n", false),
        ("vmdk", 512, b"KDMV\0\0\0\x01", false),
        ("bochs", 512, b"Bochs Virtual HD Image", false),
        ("hdd", 512, b"WithoutFreeSpace", false),
        ("vhd", 512, b"conectix", false),
        ("vhd", end, b"conectix\0\0\0\x02\0\x01\0\0", false),
        ("dmg", end, b"koly\0\0\0\x04\0\0\x02\0\0\0\0\x01", false),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (extension, at, magic, other) in cases {
        let mut image = plain.clone();
        image.resize(end.max(at + 512), 0);
        image[at..at + magic.len()].copy_from_slice(magic);
        // QEMU's dmg driver goes by the name.
        let path = directory.path().join(format!("image.{extension}"));
        std::fs::write(&path, image).unwrap();

        let report = inspected(&path);

        assert!(opens(&path), "{extension} at {at} is no QCOW2 image");
        assert_eq!(guessed(&path) != Some(json!("qcow2")), other, "{extension}");
        assert_eq!(report.has(Code::AmbiguousFormat), other, "{extension}");
        assert_eq!(report.verdict() == Verdict::Reject, other, "{extension}");
        assert_eq!(report.format, Format::Qcow2);
    }
}

#[test]
fn a_vdi_image_with_the_first_bytes_of_a_qcow2_image_is_named_as_what_it_is() {
    let (Some(plain), Some(vdi)) = (corpus::path("plain.qcow2"), corpus::path("disk.vdi")) else {
        return;
    };
    let mut image = std::fs::read(vdi).unwrap();
    image[..0x40].copy_from_slice(&std::fs::read(plain).unwrap()[..0x40]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    std::fs::write(&path, image).unwrap();

    assert_eq!(guessed(&path), Some(json!("vdi")));
    let report = inspected(&path);
    let finding = &report.findings[0];
    assert_eq!(
        (finding.code, finding.offset),
        (Code::AmbiguousFormat, 0x40)
    );
    assert!(finding.message.contains("VDI"), "{finding}");
}

#[test]
fn the_default_policy_rejects_just_what_reaches_for_other_files() {
    let Some(images) = corpus::qcow2() else {
        return;
    };
    for (image, _) in images {
        let report = inspected(&image.path);
        let reaches = |word| image.name.contains(word);
        let expected = match () {
            () if reaches("data-file-backing") => vec![Code::BackingFile, Code::DataFile],
            () if reaches("backing") => vec![Code::BackingFile],
            () if reaches("data-file") => vec![Code::DataFile],
            () => vec![],
        };
        let codes: Vec<_> = report.rejections().map(|finding| finding.code).collect();
        assert_eq!(codes, expected, "{}: {:?}", image.name, report.findings);
    }
}

#[test]
fn what_is_seldom_meant_is_warned_of() {
    for (name, code) in [
        ("luks.qcow2", Code::Encrypted),
        ("aes.qcow2", Code::Encrypted),
        ("snapshots.qcow2", Code::InternalSnapshots),
        ("dirty.qcow2", Code::Dirty),
        ("corrupt.qcow2", Code::Corrupt),
        ("v2.qcow2", Code::Version2),
        ("bitmaps-stale.qcow2", Code::StaleBitmaps),
    ] {
        let Some(path) = corpus::path(name) else {
            return;
        };
        let report = inspected(path);
        assert!(report.has(code), "{name}: {:?}", report.findings);
        assert_eq!(report.verdict(), Verdict::Accept);
        let strict = Policy::default().reject(code);
        assert_eq!(
            qcow2::inspect_file(path, &strict).unwrap().verdict(),
            Verdict::Reject
        );
    }
}

#[test]
fn a_policy_allows_more_and_limits_the_virtual_size() {
    let Some(backing) = corpus::path("backing.qcow2") else {
        return;
    };
    let lenient = Policy::default().allow(Code::BackingFile);
    assert_eq!(
        qcow2::inspect_file(backing, &lenient).unwrap().verdict(),
        Verdict::Accept
    );

    let small = Policy::default().max_virtual_size(1 << 40);
    let huge = corpus::path("huge.qcow2").unwrap();
    assert!(
        qcow2::inspect_file(huge, &small)
            .unwrap()
            .has(Code::VirtualSizeLimit)
    );
}

#[cfg(unix)]
#[test]
fn only_a_file_or_a_disk_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    for path in [folder.path(), &fifo, Path::new("/dev/zero")] {
        let path = path.to_owned();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let inspected = qcow2::inspect_file(path, &Policy::default());
            let _ = tell.send(inspected);
        });
        let inspected = told.recv_timeout(std::time::Duration::from_secs(60));
        let error = inspected.expect("no end").unwrap_err();
        assert_eq!(
            error.to_string(),
            "neither a regular file nor a block device"
        );
    }
}
