//! Agreement with oslo.utils, the inspector of OpenStack, but for its known limits.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use machine_images::qcow2::{self, Code, Policy, Report, Verdict};

use crate::corpus;
use crate::mutants::{self, MUTANTS, Mutant};

/// Why the verdicts differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// oslo.utils reads the feature bits of version 2 too, where an extension is.
    FalseAlarmInVersion2,
    /// oslo.utils takes extended L2 entries for an unknown feature.
    ExtendedL2TakenForUnknown,
    /// oslo.utils does not look at what QEMU refuses: cluster bits, virtual size, ...
    RefusedByQemu(Code),
    /// oslo.utils does not look at the extensions.
    BadExtension(Code),
    /// oslo.utils does not look at the length of the file.
    Truncated,
    /// oslo.utils does not look for a data file that is raw but missing.
    RawWithoutDataFile,
}

/// The known limit that explains why the verdicts differ, if they do.
///
/// # Panics
///
/// When they differ for no known reason.
fn difference(report: &Report, oslo: &str) -> Option<Difference> {
    let ours = report.verdict() == Verdict::Accept;
    if ours == (oslo == "safe") {
        return None;
    }
    if let (Some(header), true) = (&report.header, ours) {
        return Some(match oslo {
            "data_file" if header.version == 2 => Difference::FalseAlarmInVersion2,
            "unknown_features" if header.features.extended_l2() => {
                Difference::ExtendedL2TakenForUnknown
            }
            _ => panic!("accepted, but oslo.utils finds {oslo}: {report:?}"),
        });
    }
    let codes: Vec<_> = report.rejections().map(|finding| finding.code).collect();
    // What oslo.utils does look for it must find.
    for looked_for in [Code::NotQcow2, Code::UnsupportedVersion, Code::BackingFile] {
        assert!(!codes.contains(&looked_for), "oslo.utils misses {report:?}");
    }
    assert!(
        !codes.contains(&Code::UnknownFeature),
        "oslo.utils misses {report:?}"
    );
    Some(match codes[0] {
        Code::Truncated => Difference::Truncated,
        Code::DataFile => {
            assert!(!report.header.as_ref().unwrap().features.data_file());
            Difference::RawWithoutDataFile
        }
        code @ (Code::HeaderExtension | Code::EncryptionHeader | Code::BitmapDirectory) => {
            Difference::BadExtension(code)
        }
        code => Difference::RefusedByQemu(code),
    })
}

fn script(python: &Path, arguments: &[&str]) -> Command {
    let mut script = Command::new(python);
    script
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/qcow2/oslo.py"))
        .args(arguments);
    script
}

/// A Python with the pinned oslo.utils, which is installed for tests that must not be skipped.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(find_or_install).as_deref()
}

fn find_or_install() -> Option<PathBuf> {
    let pinned = include_str!("requirements.txt").lines().next().unwrap();
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join(pinned);
    let python = venv.join("bin/python");
    let has_oslo = || {
        let mut import = Command::new(&python);
        import
            .args(["-c", "import oslo_utils.imageutils.format_inspector"])
            .stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    };
    if !has_oslo() && corpus::tools_required() {
        let mut install = script(Path::new("python3"), &["install", venv.to_str().unwrap()]);
        assert!(
            install.status().unwrap().success(),
            "oslo.utils cannot be installed"
        );
    }
    let why = format!(
        "{pinned} is not installed: tests/qcow2/oslo.py install {}",
        venv.display()
    );
    (has_oslo() || corpus::skip(&why)).then_some(python)
}

/// The lines of a script's output, as pairs of format and verdict.
fn run(mut script: Command, input: &[u8]) -> Vec<(String, String)> {
    let mut child = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();

    let pair = |line: &str| {
        line.split_once(' ')
            .map(|(one, other)| (one.into(), other.into()))
    };
    lines.lines().map(|line| pair(line).unwrap()).collect()
}

/// What oslo.utils says of files.
fn of_files(python: &Path, paths: &[&Path]) -> Vec<(String, String)> {
    let names: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let said = run(
        script(python, &[&["files"], names.as_slice()].concat()),
        b"",
    );
    assert_eq!(said.len(), paths.len());
    said
}

#[test]
fn the_verdicts_on_the_corpus_agree_but_for_the_known_differences() {
    let (Some(images), Some(python)) = (corpus::qcow2(), python()) else {
        return;
    };
    let paths: Vec<_> = images
        .iter()
        .map(|(image, _)| image.path.as_path())
        .collect();
    let mut differ = Vec::new();
    for ((image, _), (format, oslo)) in images.iter().zip(of_files(python, &paths)) {
        assert_eq!(format, "qcow2", "{}", image.name);
        let report = qcow2::inspect_file(&image.path, &Policy::default()).unwrap();
        if let Some(difference) = difference(&report, &oslo) {
            assert_eq!(
                difference,
                Difference::ExtendedL2TakenForUnknown,
                "{}",
                image.name
            );
            differ.push(image.name.as_str());
        }
    }
    let extended_l2 = [
        "all-options",
        "extended-l2-16k",
        "extended-l2-2M",
        "extended-l2",
    ];
    assert_eq!(differ, extended_l2.map(|name| format!("{name}.qcow2")));
}

#[test]
fn the_verdicts_on_mutants_agree_but_for_the_known_differences() {
    let (Some(images), Some(python)) = (mutants::originals(), python()) else {
        return;
    };
    let numbers: Vec<_> = (0..MUTANTS).collect();
    let mutants = |numbers: &[u64]| {
        let mutant = |&number: &u64| {
            let bytes = Mutant::of(number, &images).applied(&images);
            let mut header = bytes[..bytes.len().min(512)].to_vec();
            header.resize(512, 0);
            (mutants::inspect(&bytes), header)
        };
        numbers.iter().map(mutant).collect()
    };
    let (reports, headers): (Vec<_>, Vec<_>) =
        mutants::for_each(&numbers, mutants).into_iter().unzip();
    let said = run(script(python, &["headers"]), &headers.concat());
    assert_eq!(said.len() as u64, MUTANTS);

    let mut differences = BTreeMap::<_, usize>::new();
    for (report, (_, oslo)) in reports.iter().zip(&said) {
        if let Some(difference) = difference(report, oslo) {
            *differences.entry(difference).or_default() += 1;
        }
    }
    let differing: usize = differences.values().sum();
    eprintln!("{MUTANTS} mutants, {differing} verdicts differ: {differences:#?}");
    for expected in [
        Difference::FalseAlarmInVersion2,
        Difference::ExtendedL2TakenForUnknown,
        Difference::RefusedByQemu(Code::ClusterBits),
        Difference::RefusedByQemu(Code::VirtualSize),
    ] {
        assert!(
            differences.contains_key(&expected),
            "{expected:?} was not met"
        );
    }
}

/// Writes a change of one image of the corpus, and has both look at it.
fn both(name: &str, patches: &[(u64, &[u8])]) -> Option<(Report, String)> {
    let (path, python) = (corpus::path(name)?, python()?);
    let mut bytes = std::fs::read(path).unwrap();
    for (at, patch) in patches {
        bytes[*at as usize..][..patch.len()].copy_from_slice(patch);
    }
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::write(&file, bytes).unwrap();
    let report = qcow2::inspect_file(&file, &Policy::default()).unwrap();
    let (_, oslo) = of_files(python, &[file.path()]).remove(0);
    Some((report, oslo))
}

#[test]
fn difference_version_2_has_no_feature_bits_to_be_alarmed_by() {
    // An extension of unknown kind and no length lies where version 3 has its feature bits.
    let extension = [0x41, 0x41, 0x41, 0x45, 0, 0, 0, 0];
    let patches: [(u64, &[u8]); 2] = [(72, &[0x41, 0x41, 0x41, 0x45, 0, 0, 0, 4]), (80, &[0; 8])];
    let Some((report, oslo)) = both("v2.qcow2", &patches) else {
        return;
    };
    assert_eq!(
        (report.verdict(), oslo.as_str()),
        (Verdict::Accept, "data_file")
    );
    // Without the bit of the data file it has nothing against the extension.
    let (report, oslo) = both("v2.qcow2", &[(72, &extension)]).unwrap();
    assert_eq!((report.verdict(), oslo.as_str()), (Verdict::Accept, "safe"));
}

#[test]
fn difference_extended_l2_is_legal() {
    let Some((report, oslo)) = both("extended-l2.qcow2", &[]) else {
        return;
    };
    assert_eq!(
        (report.verdict(), oslo.as_str()),
        (Verdict::Accept, "unknown_features")
    );
    assert!(report.header.unwrap().features.extended_l2());
}

#[test]
fn difference_encryption_and_snapshots_are_warned_of() {
    for (name, code) in [
        ("luks.qcow2", Code::Encrypted),
        ("aes.qcow2", Code::Encrypted),
        ("snapshots.qcow2", Code::InternalSnapshots),
    ] {
        let Some((report, oslo)) = both(name, &[]) else {
            return;
        };
        assert_eq!((report.has(code), oslo.as_str()), (true, "safe"), "{name}");
    }
}

#[test]
fn difference_a_virtual_size_of_2_to_the_60_is_refused() {
    let size = (1_u64 << 60).to_be_bytes();
    let Some((report, oslo)) = both("plain.qcow2", &[(24, &size)]) else {
        return;
    };
    assert_eq!(
        (report.has(Code::VirtualSize), oslo.as_str()),
        (true, "safe")
    );
    assert_eq!(report.verdict(), Verdict::Reject);
}

#[test]
fn difference_cluster_bits_of_40_are_refused() {
    let Some((report, oslo)) = both("plain.qcow2", &[(20, &[0, 0, 0, 40])]) else {
        return;
    };
    assert_eq!(
        (report.has(Code::ClusterBits), oslo.as_str()),
        (true, "safe")
    );
    assert_eq!(report.verdict(), Verdict::Reject);
}

#[test]
fn difference_the_names_in_the_extensions_are_read() {
    let Some((report, oslo)) = both("data-file-raw.qcow2", &[]) else {
        return;
    };
    assert_eq!(oslo, "data_file");
    let file = report.header.unwrap().data_file.unwrap();
    assert_eq!((file.name.as_deref(), file.raw), (Some("data2.raw"), true));

    let (report, oslo) = both("backing-raw.qcow2", &[]).unwrap();
    assert_eq!(oslo, "backing_file");
    assert_eq!(
        report.header.unwrap().backing_format.as_deref(),
        Some("raw")
    );
}
