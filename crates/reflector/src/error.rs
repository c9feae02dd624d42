//! Why a watch does not go on.

use crate::Resource;

/// Each message is one line: what, which object, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the API server refuses to {verb} {resource}: {reason}; grant the verbs list and watch on {resource} in API group \"{group}\" to this service account",
        group = resource.group()
    )]
    Forbidden { resource: Resource, verb: &'static str, reason: String },
}
