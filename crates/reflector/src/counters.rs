//! What a watch has done, for whoever exports it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Only ever grow, for as long as the process lives. One set may serve several watches.
#[derive(Debug, Default)]
pub struct Counters {
    /// Objects told as applied.
    pub applied: AtomicU64,
    /// Objects told as deleted.
    pub deleted: AtomicU64,
    pub bookmarks: AtomicU64,
    /// Events from before the place where the watch went on; they were left out.
    pub stale: AtomicU64,
    /// Bytes of bodies, without TLS and HTTP around them.
    pub bytes: AtomicU64,
    /// Lists that were begun, the first one included.
    pub lists: AtomicU64,
    /// Lists that had to be begun because the API server did not know where the watch was (410).
    pub expired: AtomicU64,
    /// Watches that were opened where another one had ended.
    pub reconnects: AtomicU64,
    /// Watches that were given up because nothing came for too long.
    pub silent: AtomicU64,
    /// Requests that were refused, or broke off.
    pub failures: AtomicU64,
    /// Objects and events that could not be read, and were left out.
    pub malformed: AtomicU64,
    hostile: [AtomicU64; Cause::ALL.len()],
}

/// Why something of an object was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The whole object: more bytes than an object may have.
    ObjectTooLarge,
    /// The whole object: no name or no uid.
    Nameless,
    /// A text with more bytes than a text may have.
    TextTooLong,
    NotUtf8,
    /// An address that cannot be read, or that no pod, node or service can have.
    BadAddress,
    /// An address that the same object has already.
    RepeatedAddress,
    /// Labels or annotations past the number that is looked at or kept.
    TooManyLabels,
    /// Containers, addresses, ports or endpoints past the number that is kept.
    TooManyParts,
    /// A port that is none.
    BadPort,
}

impl Cause {
    pub const ALL: [Self; 9] = [
        Self::ObjectTooLarge,
        Self::Nameless,
        Self::TextTooLong,
        Self::NotUtf8,
        Self::BadAddress,
        Self::RepeatedAddress,
        Self::TooManyLabels,
        Self::TooManyParts,
        Self::BadPort,
    ];

    /// As the value of a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::ObjectTooLarge => "object_too_large",
            Self::Nameless => "nameless",
            Self::TextTooLong => "text_too_long",
            Self::NotUtf8 => "not_utf8",
            Self::BadAddress => "bad_address",
            Self::RepeatedAddress => "repeated_address",
            Self::TooManyLabels => "too_many_labels",
            Self::TooManyParts => "too_many_parts",
            Self::BadPort => "bad_port",
        }
    }
}

impl Counters {
    /// How often something was left out for this cause.
    pub fn hostile(&self, cause: Cause) -> u64 {
        self.hostile[cause as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn left_out(&self, cause: Cause) {
        self.hostile[cause as usize].fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_own_counter() {
        let counters = Counters::default();
        for (times, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, times, "{cause:?} stands at its own place");
            (0..=times).for_each(|_| counters.left_out(cause));
        }
        for (times, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(counters.hostile(cause), times as u64 + 1, "{cause:?}");
        }
    }
}
