//! What two workloads had to do with each other in one interval of time: a key and its values.
//!
//! Values add up: those of two nodes, of two intervals, or of two keys that one asks for as one.

mod distribution;
mod end;
mod extract;

use std::sync::Arc;

use crate::measure::{DISTRIBUTIONS, SUMS};
use crate::{Direction, Measure, Protocol};

pub use distribution::{BUCKETS, Distribution};
pub use end::End;
pub use extract::{is_routine, port};

/// Between whom. The node that observed it belongs to the batch in which rows travel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Who opened the connection, or asked.
    pub source: End,
    pub destination: End,
    /// The service by which the destination was addressed, in the destination's namespace; empty: none, or not known.
    pub service: Arc<str>,
    pub protocol: Protocol,
    /// Of the destination, behind its service; 0 where the protocol has none.
    pub port: u16,
    /// Whose end was observed: egress the source's, ingress the destination's.
    pub direction: Direction,
}

/// The sums, gauges and distributions of one row. What was not observed is absent, not 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Bit by code.
    present: u64,
    sums: [u64; SUMS],
    distributions: [Option<Box<Distribution>>; DISTRIBUTIONS],
}

impl Values {
    pub fn is_empty(&self) -> bool {
        self.present == 0
    }

    pub fn has(&self, measure: Measure) -> bool {
        self.present & 1 << measure.code() != 0
    }

    /// Those that are present, in the order of their codes.
    pub fn measures(&self) -> impl Iterator<Item = Measure> + use<> {
        let present = self.present;
        Measure::ALL.into_iter().filter(move |it| present & 1 << it.code() != 0)
    }

    /// To a sum, or to the integral of a gauge.
    pub fn add(&mut self, measure: Measure, value: u64) {
        debug_assert!(!measure.is_distribution());
        if let Some(sum) = self.sums.get_mut(measure.slot()).filter(|_| !measure.is_distribution())
        {
            self.present |= 1 << measure.code();
            *sum = sum.saturating_add(value);
        }
    }

    pub fn observe(&mut self, measure: Measure, ns: u64) {
        if let Some(distribution) = self.distribution_mut(measure) {
            distribution.observe(ns);
        }
    }

    /// To be filled; `None` for what is no distribution.
    pub fn distribution_mut(&mut self, measure: Measure) -> Option<&mut Distribution> {
        debug_assert!(measure.is_distribution());
        let place = self.distributions.get_mut(measure.slot());
        let place = place.filter(|_| measure.is_distribution())?;
        self.present |= 1 << measure.code();
        Some(place.get_or_insert_default())
    }

    pub fn sum(&self, measure: Measure) -> Option<u64> {
        (self.has(measure) && !measure.is_distribution()).then(|| self.sums[measure.slot()])
    }

    pub fn distribution(&self, measure: Measure) -> Option<&Distribution> {
        match measure.is_distribution() {
            true => self.distributions[measure.slot()].as_deref(),
            false => None,
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.present |= other.present;
        for (sum, more) in self.sums.iter_mut().zip(&other.sums) {
            *sum = sum.saturating_add(*more);
        }
        for (mine, more) in self.distributions.iter_mut().zip(&other.distributions) {
            match (mine, more) {
                (Some(mine), Some(more)) => mine.merge(more),
                (mine @ None, Some(more)) => *mine = Some(more.clone()),
                (_, None) => {}
            }
        }
    }

    /// What the `other` end of the same edge tells beside this one: what was not observed here, and what the ends tell
    /// [apart](crate::measure::Declaration::apart).
    pub fn complete(&mut self, other: &Self) {
        let beside = other.only(|it| !self.has(it) || it.declaration().apart);
        self.merge(&beside);
    }

    /// A part of it.
    pub fn only(&self, wanted: impl Fn(Measure) -> bool) -> Self {
        let mut part = self.clone();
        for measure in self.measures().filter(|it| !wanted(*it)) {
            part.present &= !(1 << measure.code());
            match measure.is_distribution() {
                true => part.distributions[measure.slot()] = None,
                false => part.sums[measure.slot()] = 0,
            }
        }
        part
    }
}

#[cfg(test)]
mod tests;
