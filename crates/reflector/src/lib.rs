//! Lists and watches what a Kubernetes API server knows, as plain objects that hold no more than is needed.

mod access;
mod allowed;
mod answer;
mod body;
mod client;
mod counters;
mod decoder;
#[cfg(test)]
mod encode;
mod error;
mod event;
mod json;
mod limits;
mod listing;
mod meta;
mod object;
mod options;
mod patience;
mod protobuf;
mod refusal;
mod request;
mod resolve;
mod resource;
mod review;
mod trim;
mod watch;
mod wire;

pub use access::Access;
pub use allowed::Allowed;
pub use client::Client;
pub use counters::{Cause, Counters};
pub use decoder::Decoder;
pub use error::Error;
pub use event::Event;
pub use limits::Limits;
pub use listing::Listing;
pub use object::{
    Container, Endpoint, EndpointSlice, Namespace, Node, Object, ObjectKey, Owner, OwnerReference,
    Phase, Pod, Port, Protocol, Service, ServiceKind, ServicePort, Str,
};
pub use options::{Options, Patience};
pub use resolve::Resolver;
pub use resource::Resource;
pub use review::{Act, User, may, review};
pub use watch::watch;
pub use wire::Malformed;
