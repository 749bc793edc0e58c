use std::fmt;
use std::sync::{Arc, Mutex};

use super::fault::Fault;
use super::request_log::Received;
use crate::sync::lock;

type Predicate = Arc<dyn Fn(&Received) -> bool + Send + Sync>;

/// A [`Fault`] and the requests that it affects. Defaults to the next request.
#[derive(Clone)]
#[must_use = "a rule has no effect before `inject`"]
pub struct FaultRule {
    fault: Fault,
    on: Option<(String, String)>,
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
    /// Limits the fault to requests with this method, in any case, and a path that ends in
    /// `path`.
    ///
    /// The query is not part of the path. A `path` that ends in `/` matches everything below it.
    /// So `/images` is the list whatever the base path, `/images/1` one image, and `/images/` all
    /// images. A method that does not exist matches no request.
    ///
    /// The record of an image and its contents have the same path. To tell them apart, use
    /// [`when`](Self::when) with the header `Accept`.
    pub fn on(mut self, method: &str, path: impl Into<String>) -> Self {
        self.on = Some((method.to_owned(), path.into()));
        self
    }

    /// Limits the fault to requests for which `predicate` returns `true`. It sees the request's
    /// head, before the body has arrived.
    pub fn when(mut self, predicate: impl Fn(&Received) -> bool + Send + Sync + 'static) -> Self {
        self.when = Some(Arc::new(predicate));
        self
    }

    /// Sets the number of matching requests to leave alone first. Defaults to zero.
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// Sets the number of matching requests to affect. Defaults to one.
    pub fn times(mut self, count: usize) -> Self {
        self.left = Some(count);
        self
    }

    /// Affects every matching request.
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
            request.method.eq_ignore_ascii_case(method) && is_there
        });
        on && self.when.as_ref().is_none_or(|when| when(request))
    }
}

impl Fault {
    /// Limits the fault to requests with this method and path. See [`FaultRule::on`].
    pub fn on(self, method: &str, path: impl Into<String>) -> FaultRule {
        FaultRule::from(self).on(method, path)
    }

    /// Limits the fault to requests for which `predicate` returns `true`. See
    /// [`FaultRule::when`].
    pub fn when(self, predicate: impl Fn(&Received) -> bool + Send + Sync + 'static) -> FaultRule {
        FaultRule::from(self).when(predicate)
    }

    /// Sets the number of requests to let pass first. See [`FaultRule::skip`].
    pub fn skip(self, count: usize) -> FaultRule {
        FaultRule::from(self).skip(count)
    }

    /// Sets the number of requests to affect. See [`FaultRule::times`].
    pub fn times(self, count: usize) -> FaultRule {
        FaultRule::from(self).times(count)
    }

    /// Affects every request. See [`FaultRule::always`].
    pub fn always(self) -> FaultRule {
        FaultRule::from(self).always()
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

/// The fault rules of a server.
#[derive(Debug, Default)]
pub(super) struct FaultRules(Mutex<Vec<FaultRule>>);

impl FaultRules {
    pub(super) fn add(&self, rule: FaultRule) {
        lock(&self.0).push(rule);
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// Returns the fault of the first rule that matches a request and is not used up.
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
