//! The plain types that all of Amphipod speaks: what a probe observed, whose it was, and what leaves
//! the house. No I/O, no async. Only [`line`], the outward JSON form, knows serde.

pub mod dns;
pub mod errno;
pub mod filter;
pub mod identity;
pub mod line;
pub mod measure;
pub mod metadata;
pub mod observation;
pub mod record;
pub mod row;
pub mod scope;
pub mod status;
pub mod text;
pub mod time;

pub use dns::Lookup;
pub use filter::Filter;
pub use identity::{Identity, TargetPort, Workload};
pub use measure::Measure;
pub use metadata::{Address, Change, Container, Holder, Node, Pod, Service};
pub use observation::{
    Connection, ConnectionEvent, Counters, Direction, Drop, Flow, Observation, Process, Protocol,
    Subject,
};
pub use record::{Endpoint, Record};
pub use scope::Scope;
pub use text::Comm;
pub use time::Timestamp;
