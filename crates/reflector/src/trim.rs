//! Takes over of an object what is kept of it, within the limits.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use crate::counters::{Cause, Counters};
use crate::{Allowed, Limits, Options, Protocol, Resource, Str};

/// Slots for texts that many objects have in common.
const SHARED: usize = 2048;
/// A longer text is hardly one of those.
const SHARED_BYTES: usize = 128;

pub struct Trim {
    pub limits: Limits,
    pub labels: Allowed,
    pub annotations: Allowed,
    pub counters: Arc<Counters>,
    shared: Box<[Str]>,
    hasher: DefaultHashBuilder,
    empty: Str,
}

impl Trim {
    pub fn new(
        limits: Limits,
        labels: Allowed,
        annotations: Allowed,
        counters: Arc<Counters>,
    ) -> Self {
        let empty = Str::default();
        let shared = vec![empty.clone(); SHARED].into();
        Self { limits, labels, annotations, counters, shared, hasher: <_>::default(), empty }
    }

    /// What `options` say for this resource.
    pub fn of(options: &Options, resource: Resource) -> Self {
        let annotations = match resource {
            Resource::Pods => options.annotations.clone(),
            _ => Allowed::default(),
        };
        let counters = options.counters.clone();
        Self::new(options.limits, options.labels.clone(), annotations, counters)
    }

    pub fn count(&self, cause: Cause) {
        self.counters.left_out(cause);
    }

    pub fn empty(&self) -> Str {
        self.empty.clone()
    }

    /// A text of this object alone. None where it is empty or not to be had.
    pub fn own(&self, text: &[u8]) -> Option<Str> {
        self.checked(text, self.limits.text_bytes).map(Str::from)
    }

    /// A text that other objects are likely to have, too: the same memory where that is so.
    pub fn shared(&mut self, text: &[u8]) -> Option<Str> {
        if text.len() > SHARED_BYTES {
            return self.own(text);
        }
        let slot = self.hasher.hash_one(text) as usize % SHARED;
        if self.shared[slot].as_bytes() == text {
            return (!text.is_empty()).then(|| self.shared[slot].clone());
        }
        let text = self.own(text)?;
        self.shared[slot] = text.clone();
        Some(text)
    }

    /// [`Trim::shared`] for where nothing and an empty text mean the same.
    pub fn shared_or_empty(&mut self, text: &[u8]) -> Str {
        self.shared(text).unwrap_or_else(|| self.empty.clone())
    }

    fn checked<'a>(&self, text: &'a [u8], most_bytes: usize) -> Option<&'a str> {
        if text.is_empty() {
            return None;
        }
        if text.len() > most_bytes {
            self.count(Cause::TextTooLong);
            return None;
        }
        let checked = std::str::from_utf8(text);
        if checked.is_err() {
            self.count(Cause::NotUtf8);
        }
        checked.ok()
    }

    /// Whether one more part may be kept.
    pub fn fits<T>(&self, parts: &[T]) -> bool {
        let fits = parts.len() < self.limits.parts;
        if !fits {
            self.count(Cause::TooManyParts);
        }
        fits
    }

    pub fn address(&self, addresses: &mut Vec<IpAddr>, text: &[u8]) {
        if text.is_empty() || !self.fits(addresses) {
            return;
        }
        let parsed: Option<IpAddr> =
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        let Some(address) = parsed.map(|address| address.to_canonical()).filter(possible) else {
            return self.count(Cause::BadAddress);
        };
        if addresses.contains(&address) {
            return self.count(Cause::RepeatedAddress);
        }
        addresses.push(address);
    }

    /// None for zero, which stands for "no port".
    pub fn port(&self, number: i64) -> Option<u16> {
        let port = u16::try_from(number);
        if port.is_err() {
            self.count(Cause::BadPort);
        }
        port.ok().filter(|port| *port > 0)
    }

    pub fn label(&mut self, kept: &mut Vec<(Str, Str)>, key: &[u8], value: &[u8]) {
        if self.labels.allows(key) {
            self.pair(kept, key, value, self.limits.text_bytes);
        }
    }

    pub fn annotation(&mut self, kept: &mut Vec<(Str, Str)>, key: &[u8], value: &[u8]) {
        if self.annotations.allows(key) {
            self.pair(kept, key, value, self.limits.annotation_bytes);
        }
    }

    fn pair(&mut self, kept: &mut Vec<(Str, Str)>, key: &[u8], value: &[u8], most_bytes: usize) {
        if kept.len() >= self.limits.labels {
            return self.count(Cause::TooManyLabels);
        }
        let value = match value {
            [] => Some(self.empty()),
            value if value.len() <= SHARED_BYTES => self.shared(value),
            value => self.checked(value, most_bytes).map(Str::from),
        };
        if let (Some(key), Some(value)) = (self.shared(key), value) {
            kept.push((key, value));
        }
    }
}

/// An address that leads to one pod, node or service.
fn possible(address: &IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast)
}

pub fn protocol(text: &[u8]) -> Protocol {
    match text {
        b"UDP" => Protocol::Udp,
        b"SCTP" => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

/// The API group of `apps/v1`; empty for `v1`.
pub fn api_group(version: &[u8]) -> &[u8] {
    match version.iter().position(|byte| *byte == b'/') {
        Some(slash) => &version[..slash],
        None => b"",
    }
}

/// A container's id without the runtime before it.
pub fn container_id(text: &[u8]) -> &[u8] {
    match text.windows(3).position(|window| window == b"://") {
        Some(at) => &text[at + 3..],
        None => text,
    }
}
