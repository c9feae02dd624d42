//! From batches to records and series: one thread identifies, sums up and publishes.

mod aggregate;
mod histogram;
mod interval;
mod labels;
mod memo;
mod table;
mod worker;

pub use aggregate::{Aggregate, Answered, Dropped, Metric, Snapshot, Traffic};
pub use histogram::Histogram;
pub use interval::{Batch, Counters as IntervalCounters, Interval, Numbered};
pub use labels::{Labels, OVERFLOW};
pub use table::Series;
pub use worker::{Shared, Worker};
