//! Files that are already what the server has.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::{ByteRange, Location};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Result};
use crate::file::{failed, open_in_place};
use crate::inspect::{accept, inspect_open_file};
use crate::progress::Meter;
use crate::qcow2::Policy;
use crate::thread::Caller;

/// The conditions for a file besides being unchanged.
pub(crate) struct Expected<'a> {
    pub(crate) hashes: bool,
    pub(crate) sha256: Option<Digest>,
    pub(crate) policy: Option<&'a Policy>,
    pub(crate) meter: &'a Meter,
}

/// Returns the length of the file at `target`, and its digest if that is computed, if the file is
/// what the server has: of the same length, and of the time of the server's last change. Asks for
/// its last byte, so that one answer has both.
pub(crate) async fn unchanged(
    location: &Location,
    target: &Path,
    expected: Expected<'_>,
    caller: &Caller,
) -> Result<Option<(u64, Option<Digest>)>> {
    let Some((file, length, modified)) = candidate(target) else {
        return Ok(None);
    };
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&modified);
    let date = date.map_err(|error| Error::invalid(error.to_string()))?;
    let range = ByteRange::new(length - 1, None);
    let location = location.clone();
    let answer = caller.run(async move {
        let mut retries = location.transport.retry().start();
        let response = location
            .send_range(range, Some(&date), &mut retries)
            .await?;
        location.check_range_or_all(response, range)
    });
    let version = match answer.await {
        // The image is shorter by now.
        Err(error) if error.status() == Some(416) => return Ok(None),
        answer => answer?.version,
    };
    if version.total != Some(length) || version.modified != Some(modified) {
        return Ok(None);
    }
    let read = |error| failed("read", target, error);
    let sha256 = match expected.hashes {
        true => Some(hash(&file, length, expected.meter, caller).map_err(read)?),
        false => None,
    };
    if expected.sha256.is_some() && expected.sha256 != sha256 {
        return Ok(None);
    }
    if let Some(policy) = expected.policy {
        accept(inspect_open_file(&file, policy).map_err(read)?)?;
    }
    Ok(Some((length, sha256)))
}

/// The file at the path, its length and its time, if an earlier fetch may have left it: that set
/// the time to whole seconds. A file that cannot be read is fetched.
fn candidate(target: &Path) -> Option<(File, u64, Timestamp)> {
    let file = open_in_place(target).ok()?;
    let found = file.metadata().ok()?;
    let since_epoch = found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    if found.len() == 0 || since_epoch.subsec_nanos() != 0 {
        return None;
    }
    let seconds = i64::try_from(since_epoch.as_secs()).ok()?;
    let modified = Timestamp::from_second(seconds).ok()?;
    Some((file, found.len(), modified))
}

fn hash(mut file: &File, length: u64, meter: &Meter, caller: &Caller) -> io::Result<Digest> {
    let (mut hasher, mut hashed) = (Hasher::default(), 0);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        caller.check()?;
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                hashed += count as u64;
                meter.hashed(hashed, Some(length));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
