//! The cause of an error: its kind and its text.

use std::io;

use super::kind::ErrorKind;
use super::refusal::Refusal;
use crate::qcow2;

pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// The cause of an error. Each variant has one [`ErrorKind`] or a family of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("{0}")]
    Invalid(String),
    #[error("cannot set up the HTTP client")]
    Setup(#[source] Source),
    #[error("{1}")]
    Plain(ErrorKind, String),
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// A connection that could not be made, or broke.
    #[error("{1}")]
    Network(ErrorKind, String, #[source] Option<Source>),
    #[error("no answer came, so the server may or may not have created the image{}", looked(*.is_missing))]
    OutcomeUnknown {
        /// The image was looked for, and not found.
        is_missing: bool,
        source: Source,
    },
    #[error("the request was not sent completely, so the server created nothing")]
    NotSent {
        /// The source can be read again.
        is_replayable: bool,
        source: Source,
    },
    #[error("the answer is not in the API's form")]
    Decode(#[source] Source),
    #[error("the source of the upload failed")]
    Source(#[source] io::Error),
    #[cfg(any(feature = "fs", feature = "blocking"))]
    #[error("{0}")]
    Io(String, #[source] io::Error),
    #[error("the image is rejected: {}", rejections(.0))]
    Image(Box<qcow2::Report>),
}

/// Says what looking for an image that may not have been created found.
pub(super) fn looked(is_missing: bool) -> &'static str {
    match is_missing {
        true => "; it was looked for, and is not there",
        false => "",
    }
}

fn rejections(report: &qcow2::Report) -> String {
    let findings = report.rejections().map(ToString::to_string);
    findings.collect::<Vec<_>>().join("; ")
}

impl Cause {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Setup(_) => ErrorKind::InvalidInput,
            Self::Plain(kind, _) | Self::Network(kind, ..) => *kind,
            Self::Refused(refusal) => refusal.kind(),
            Self::OutcomeUnknown { .. } => ErrorKind::OutcomeUnknown,
            Self::NotSent { .. } => ErrorKind::NotSent,
            Self::Decode(_) => ErrorKind::Decode,
            Self::Source(_) => ErrorKind::Source,
            #[cfg(any(feature = "fs", feature = "blocking"))]
            Self::Io(..) => ErrorKind::Io,
            Self::Image(_) => ErrorKind::ImageRejected,
        }
    }

    /// Returns `true` if the same call may succeed later.
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_retryable(),
            Self::NotSent { is_replayable, .. } => *is_replayable,
            _ => matches!(
                self.kind(),
                ErrorKind::Connect
                    | ErrorKind::Timeout
                    | ErrorKind::Stalled
                    | ErrorKind::Transport
                    | ErrorKind::NotReady
            ),
        }
    }
}
