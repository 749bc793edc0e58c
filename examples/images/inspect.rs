//! What an image is, local or remote.

use std::io::{self, Write};

use machine_images::qcow2::{self, Compression, Encryption, Header, Policy, Report, Verdict};
use serde_json::json;

use super::output::{Failure, Output, Result, closed};

/// A local file.
pub(crate) fn file(path: &str, output: &Output) -> Result {
    let report = qcow2::inspect_file(path, &Policy::default())
        .map_err(|error| Failure::Io(format!("cannot read {path}"), error))?;
    show(path, &report, output)
}

/// Shows a report, and fails if it rejects the image.
pub(crate) fn show(image: &str, report: &Report, output: &Output) -> Result {
    match output.json {
        true => output.line(&object(report))?,
        false => table(image, report, output)?,
    }
    match report.verdict() {
        Verdict::Accept => Ok(()),
        Verdict::Reject => {
            let why: Vec<_> = report.rejections().map(ToString::to_string).collect();
            Err(Failure::Rejected(why.join("; ")))
        }
    }
}

fn object(report: &Report) -> serde_json::Value {
    let header = report.header.as_ref();
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "code": finding.code,
                "severity": finding.severity,
                "message": finding.message,
            })
        })
        .collect();
    json!({
        "format": report.format,
        "version": header.map(|header| header.version),
        "virtual_size": header.map(|header| header.virtual_size),
        "cluster_size": header.map(|header| header.cluster_size),
        "backing_file": header.and_then(|header| header.backing_file.as_ref()),
        "backing_format": header.and_then(|header| header.backing_format.as_ref()),
        "data_file": header.and_then(data_file),
        "encryption": header.and_then(encryption),
        "compression": header.and_then(compression),
        "refcount_bits": header.map(|header| header.refcount_bits),
        "extended_l2": header.map(|header| header.features.extended_l2()),
        "lazy_refcounts": header.map(|header| header.features.lazy_refcounts()),
        "dirty": header.map(|header| header.features.dirty()),
        "corrupt": header.map(|header| header.features.corrupt()),
        "snapshots": header.map(|header| header.snapshot_table.entries),
        "bitmaps": header.map(|header| header.bitmap_directory.entries),
        "verdict": report.verdict(),
        "findings": findings,
    })
}

fn table(image: &str, report: &Report, output: &Output) -> Result {
    let mut rows = vec![
        ("image", image.to_owned()),
        ("file format", report.format.to_string()),
    ];
    if let Some(header) = &report.header {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let count = |entries: u64| match entries {
            0 => String::new(),
            entries => entries.to_string(),
        };
        let features = &header.features;
        rows.extend([
            ("version", header.version.to_string()),
            ("virtual size", size(header.virtual_size)),
            ("cluster size", header.cluster_size.to_string()),
            ("backing file", text(&header.backing_file)),
            ("backing format", text(&header.backing_format)),
            ("data file", data_file(header).unwrap_or_default()),
            ("encryption", encryption(header).unwrap_or_default().into()),
            (
                "compression",
                compression(header).unwrap_or_default().into(),
            ),
            ("refcount bits", header.refcount_bits.to_string()),
            ("extended L2", features.extended_l2().to_string()),
            ("lazy refcounts", features.lazy_refcounts().to_string()),
            ("dirty", features.dirty().to_string()),
            ("corrupt", features.corrupt().to_string()),
            ("snapshots", count(header.snapshot_table.entries)),
            ("bitmaps", count(header.bitmap_directory.entries)),
        ]);
    }
    rows.push(("verdict", report.verdict().to_string()));
    output.object(&(), &rows)?;
    if report.findings.is_empty() {
        return Ok(());
    }
    writeln!(io::stdout()).map_err(closed)?;
    let findings = report.findings.iter().map(|finding| {
        let (severity, code) = (finding.severity.to_string(), finding.code.to_string());
        vec![severity, code, finding.message.clone()]
    });
    let head = ["SEVERITY", "FINDING", "WHAT IT IS"]
        .map(String::from)
        .to_vec();
    output.table(&[head].into_iter().chain(findings).collect::<Vec<_>>())
}

fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    let value = format!("{value:.2}");
    let value = value.trim_end_matches('0').trim_end_matches('.');
    format!("{value} {unit} ({bytes} bytes)")
}

/// The name of the data file, empty if there is one but no name for it.
fn data_file(header: &Header) -> Option<String> {
    let file = header.data_file.as_ref()?;
    Some(file.name.clone().unwrap_or_default())
}

fn encryption(header: &Header) -> Option<&'static str> {
    match header.encryption? {
        Encryption::Aes => Some("aes"),
        Encryption::Luks => Some("luks"),
        _ => None,
    }
}

fn compression(header: &Header) -> Option<&'static str> {
    match header.compression {
        Compression::Zlib => Some("zlib"),
        Compression::Zstd => Some("zstd"),
        _ => None,
    }
}
