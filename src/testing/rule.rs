use std::fmt;
use std::sync::{Arc, Mutex};

use reqwest::Method;

use super::fault::Fault;
use super::record::Received;
use super::wire::lock;

type Predicate = Arc<dyn Fn(&Received) -> bool + Send + Sync>;

/// A [`Fault`] and the requests that it befalls: the next one, unless more is said.
#[derive(Clone)]
#[must_use]
pub struct FaultRule {
    fault: Fault,
    on: Option<(Method, String)>,
    when: Option<Predicate>,
    skip: usize,
    left: Option<usize>,
}

impl From<Fault> for FaultRule {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            on: None,
            when: None,
            skip: 0,
            left: Some(1),
        }
    }
}

impl FaultRule {
    /// Only requests with this method whose path, without query, ends in this one; a path that
    /// ends in `/` stands for everything below it. So `/images` is the list whatever the base
    /// address, `/images/1` one image and `/images/` all of them.
    pub fn on(mut self, method: Method, path: impl Into<String>) -> Self {
        self.on = Some((method, path.into()));
        self
    }

    /// Only requests that this is true of, when their head has arrived.
    pub fn when(mut self, is_meant: impl Fn(&Received) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Arc::new(is_meant));
        self
    }

    /// The first so many matching requests are spared.
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// Befalls so many matching requests, one if it is not said.
    pub fn times(mut self, count: usize) -> Self {
        self.left = Some(count);
        self
    }

    /// Befalls every matching request.
    pub fn always(mut self) -> Self {
        self.left = None;
        self
    }

    fn matches(&self, request: &Received) -> bool {
        let path = request.path();
        let on = self.on.as_ref().is_none_or(|(method, wanted)| {
            let is_there = if wanted.ends_with('/') {
                path.contains(wanted.as_str())
            } else {
                path.ends_with(wanted.as_str())
            };
            request.method == method.as_str() && is_there
        });
        on && self.when.as_ref().is_none_or(|when| when(request))
    }
}

impl fmt::Debug for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultRule")
            .field("fault", &self.fault)
            .field("on", &self.on)
            .field("when", &self.when.is_some())
            .field("skip", &self.skip)
            .field("left", &self.left)
            .finish()
    }
}

/// The rules of a server.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<FaultRule>>);

impl Faults {
    pub(super) fn add(&self, rule: FaultRule) {
        lock(&self.0).push(rule);
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// The fault that befalls a request: that of the first rule that matches and is not used up.
    pub(super) fn take(&self, request: &Received) -> Option<Fault> {
        let mut rules = lock(&self.0);
        for rule in rules.iter_mut() {
            if rule.left == Some(0) || !rule.matches(request) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.left = rule.left.map(|left| left - 1);
            return Some(rule.fault.clone());
        }
        None
    }
}
