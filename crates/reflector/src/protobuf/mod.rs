//! Objects from protobuf. The numbers of fields are those of `generated.proto` in k8s.io/api and k8s.io/apimachinery,
//! where each message of the same name stands; what is not named here is skipped.

mod event;
mod metadata;
pub mod network;
pub mod node;
pub mod pod;
mod status;
#[cfg(test)]
mod tests;

pub use event::{Change, envelope, event};
pub use metadata::list_meta;
pub use status::status;

use crate::meta::Meta;
use crate::trim::Trim;
use crate::wire::{Fields, Malformed};
use crate::{Object, Resource};

/// An object of this resource, and its resource version.
pub fn object(
    resource: Resource,
    message: &[u8],
    trim: &mut Trim,
) -> Result<(Object, String), Malformed> {
    let mut meta = metadata_of(message, trim)?.checked(trim)?;
    let version = std::mem::take(&mut meta.version);
    let object = match resource {
        Resource::Pods => Object::Pod(pod::pod(meta, message, trim)?),
        Resource::Nodes => Object::Node(node::node(meta, message, trim)?),
        Resource::Services => Object::Service(network::service(meta, message, trim)?),
        Resource::EndpointSlices => {
            Object::EndpointSlice(network::endpoint_slice(meta, message, trim)?)
        }
        Resource::Namespaces | Resource::ReplicaSets | Resource::Jobs => meta.whole(resource),
    };
    Ok((object, version))
}

/// Field 1 of every object.
pub fn metadata_of(message: &[u8], trim: &mut Trim) -> Result<Meta, Malformed> {
    let mut meta = Meta::default();
    for field in Fields::of(message) {
        let field = field?;
        if field.number == 1 {
            metadata::object_meta(&mut meta, field.bytes(), trim)?;
        }
    }
    Ok(meta)
}

/// The 32-bit numbers of Kubernetes' messages, sign-extended as protobuf has them.
fn int32(number: u64) -> i64 {
    number as i64
}
