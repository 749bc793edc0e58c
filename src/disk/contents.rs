//! The inspection of what is on the guest's disk.

use super::guest::Guest;
use super::open::OpenDisk;
use crate::content::Location;
use crate::error::Result;
use crate::qcow2::{Code, DETECTABLE, Format, Policy, Report};

/// Inspects an image on a server, and the beginning of its disk, if that can be read.
pub(crate) async fn inspect_contents(location: Location, policy: Policy) -> Result<Report> {
    let (report, guest) = OpenDisk::remote(location)
        .policy(policy.clone())
        .tried()
        .await?;
    let Some(guest) = guest else {
        return Ok(report);
    };
    match detect(&guest).await {
        Ok(format) => Ok(with_contents(report, format, &policy)),
        // The tables or the first cluster are invalid.
        Err(error) => match error.inspection() {
            Some(report) => Ok(judged(report.clone(), &policy)),
            None => Err(error),
        },
    }
}

/// Judges by the policy what was found where the disk was read.
fn judged(mut report: Report, policy: &Policy) -> Report {
    for finding in &mut report.findings {
        finding.severity = policy.severity(finding.code);
    }
    report
}

async fn detect(guest: &Guest) -> Result<Format> {
    let end = guest.map().geometry().size().min(DETECTABLE);
    Ok(match end {
        0 => Format::Unknown,
        _ => Format::detect(&guest.bytes(0..end).await?),
    })
}

fn with_contents(mut report: Report, format: Format, policy: &Policy) -> Report {
    report.contents = Some(format);
    let code = match format.is_disk_image() {
        true => Code::InnerImage,
        false => Code::Contents,
    };
    let message = format!("the guest's disk begins like {}", format.description());
    report.add(code, policy.severity(code), message);
    report
}
