//! Lists and watches what a Kubernetes API server knows, as plain objects that hold no more than is needed.

mod error;
mod event;
mod object;
mod resource;

pub use error::Error;
pub use event::Event;
pub use object::{
    Container, Endpoint, EndpointSlice, Namespace, Node, Object, ObjectKey, Owner, OwnerReference,
    Phase, Pod, Port, Protocol, Service, ServiceKind, ServicePort, Str,
};
pub use resource::Resource;
