//! What was asked of the server, so that tests and benchmarks can say what a client cost it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Different (path, verb, user) that are told apart; others are counted together under the path `other`.
const KEYS: usize = 4096;

/// All requests for the same thing by the same user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Without the query: `/api/v1/pods`.
    pub path: String,
    /// `get`, `list`, `watch`, `create`. Pages of one list count each.
    pub verb: &'static str,
    /// Empty if nobody known.
    pub user: String,
    pub count: u64,
    /// Of those, answered with a status of 400 and above.
    pub failed: u64,
    /// Bytes of bodies that were sent, before encryption.
    pub bytes: u64,
    /// Objects in lists, and events in watches.
    pub objects: u64,
    /// Not ended yet: watches that run.
    pub open: u64,
}

type Key = (String, &'static str, String);

#[derive(Debug, Default)]
pub(super) struct Requests {
    counts: Mutex<BTreeMap<Key, Request>>,
}

/// One request while it is served. Dropping it says that it has ended.
#[derive(Debug)]
pub(super) struct Ticket {
    requests: Arc<Requests>,
    key: Key,
}

impl Requests {
    pub fn note(self: &Arc<Self>, path: &str, verb: &'static str, user: &str) -> Ticket {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (path.to_owned(), verb, user.to_owned());
        if counts.len() >= KEYS && !counts.contains_key(&key) {
            key.0 = "other".to_owned();
        }
        let entry = counts.entry(key.clone()).or_insert_with(|| Request {
            path: key.0.clone(),
            verb,
            user: key.2.clone(),
            count: 0,
            failed: 0,
            bytes: 0,
            objects: 0,
            open: 0,
        });
        entry.count += 1;
        entry.open += 1;
        Ticket { requests: Arc::clone(self), key }
    }

    pub fn all(&self) -> Vec<Request> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.values().cloned().collect()
    }

    pub fn clear(&self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|_, request| request.open > 0);
        for request in counts.values_mut() {
            (request.count, request.failed) = (0, 0);
            (request.bytes, request.objects) = (0, 0);
        }
    }
}

impl Ticket {
    pub fn sent(&self, bytes: usize, objects: usize) {
        self.change(|request| {
            request.bytes += bytes as u64;
            request.objects += objects as u64;
        });
    }

    pub fn failed(&self) {
        self.change(|request| request.failed += 1);
    }

    fn change(&self, change: impl FnOnce(&mut Request)) {
        let mut counts = self.requests.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(request) = counts.get_mut(&self.key) {
            change(request);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.change(|request| request.open = request.open.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_and_bounded() {
        let requests = Arc::new(Requests::default());
        let watch = requests.note("/api/v1/pods", "watch", "hub");
        requests.note("/api/v1/pods", "list", "hub").sent(10, 2);
        requests.note("/api/v1/pods", "list", "hub").sent(5, 1);
        let seen: Vec<_> =
            requests.all().iter().map(|r| (r.verb, r.count, r.bytes, r.objects, r.open)).collect();
        assert_eq!(seen, [("list", 2, 15, 3, 0), ("watch", 1, 0, 0, 1)]);
        requests.clear();
        watch.failed();
        assert_eq!(requests.all().len(), 1);
        drop(watch);
        assert_eq!(requests.all()[0].open, 0);
        for index in 0..2 * KEYS {
            requests.note(&index.to_string(), "get", "");
        }
        assert!(requests.all().len() <= KEYS + 1);
    }
}
