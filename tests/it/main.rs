//! Everything that is tested through the public API, in one binary.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr
)]
// A client without a crypto provider cannot be built.
#![cfg(any(feature = "rustls", not(feature = "rustls-no-provider")))]

#[cfg(feature = "testing")]
mod attacked;
#[cfg(all(feature = "blocking", feature = "testing"))]
mod blocking;
#[cfg(feature = "testing")]
mod builders;
#[cfg(all(feature = "fs", feature = "testing"))]
mod chaos;
#[cfg(feature = "testing")]
mod consistent;
#[cfg(all(feature = "fs", feature = "testing"))]
mod copy;
mod devops;
mod digest;
#[cfg(all(feature = "disk", feature = "fs", feature = "testing"))]
mod disk;
mod djinn;
#[cfg(feature = "testing")]
mod early_answer;
#[cfg(all(feature = "fs", feature = "testing"))]
mod end_to_end;
#[cfg(all(feature = "fs", feature = "testing"))]
mod faults;
mod future_size;
#[cfg(all(feature = "fs", feature = "testing", target_os = "linux"))]
mod hostile;
#[cfg(feature = "testing")]
mod inspect;
#[cfg(feature = "testing")]
mod messages;
#[cfg(all(unix, feature = "fs", feature = "testing"))]
mod neighbour;
#[cfg(feature = "testing")]
mod not_sent;
#[cfg(feature = "testing")]
mod origin;
#[cfg(all(feature = "fs", feature = "testing"))]
mod peers;
#[cfg(feature = "testing")]
mod prefetch;
#[cfg(all(feature = "fs", feature = "testing"))]
mod rate;
#[cfg(all(feature = "disk", feature = "fs", feature = "testing"))]
mod raw_disk;
mod replay;
#[cfg(feature = "testing")]
mod retry;
mod runtime;
#[cfg(all(feature = "fs", feature = "testing"))]
mod save;
#[allow(dead_code, reason = "some of it serves only tests with files")]
mod support;
mod tls;
