use std::time::Duration;

use super::fault_rule::FaultRules;
use super::message::Service;
use super::request_log::RequestLog;
use super::restart::Restarter;

/// The state that all connections of a server share.
pub(super) struct Shared {
    pub(super) log: RequestLog,
    pub(super) faults: FaultRules,
    pub(super) latency: Duration,
    pub(super) restarter: Restarter,
    pub(super) service: Box<dyn Service>,
}
