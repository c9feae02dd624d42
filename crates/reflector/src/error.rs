//! Why a watch does not go on.

use std::path::PathBuf;
use std::time::Duration;

use crate::Resource;
use crate::wire::Malformed;

/// Each message is one line: what, which object, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("kubeconfig {path}: {reason}; give a readable one (--kubeconfig) and one of its contexts (--context)", path = path.display())]
    Kubeconfig { path: PathBuf, reason: String },
    #[error(
        "no API server is known: {kubeconfig}, and {in_cluster}; give a kubeconfig (--kubeconfig), or run in a pod with a service account"
    )]
    Nowhere { kubeconfig: String, in_cluster: String },
    #[error("credentials for {server}: {reason}; see the user of the kubeconfig's context")]
    Credentials { server: String, reason: String },
    #[error("API server {server}: {reason}; see its address, its certificate and the network")]
    Unreachable { server: String, reason: String },
    #[error("API server {server} did not answer within {after:?} when asked to {verb} {resource}")]
    Timeout { server: String, resource: Resource, verb: &'static str, after: Duration },
    #[error(
        "the API server refuses to {verb} {resource}: {reason}; grant the verbs list and watch on {resource} in API group \"{group}\"",
        group = resource.group()
    )]
    Forbidden { resource: Resource, verb: &'static str, reason: String },
    #[error(
        "the API server does not accept the credentials with which to {verb} {resource}: {reason}; see the service account's token or the kubeconfig's user"
    )]
    Unauthorized { resource: Resource, verb: &'static str, reason: String },
    #[error(
        "the API server does not know {resource} at {path}: {reason}; see that it serves this API group and version",
        path = resource.path()
    )]
    Unknown { resource: Resource, reason: String },
    #[error("the API server cannot {verb} {resource}: {code} {reason}")]
    Refused {
        resource: Resource,
        verb: &'static str,
        code: u16,
        reason: String,
        /// What the API server asks to wait.
        retry_after: Option<Duration>,
    },
    #[error(
        "API server {server} does not answer {review}: {reason}; see that {review} may be created"
    )]
    Review { server: String, review: String, reason: String },
    #[error("the answer to {verb} {resource} broke off: {reason}")]
    Interrupted { resource: Resource, verb: &'static str, reason: String },
    #[error("nothing came from the watch of {resource} for {after:?}")]
    Silent { resource: Resource, after: Duration },
    #[error("the answer to {verb} {resource} cannot be read: {reason}")]
    Malformed { resource: Resource, verb: &'static str, reason: Malformed },
    #[error(
        "the API server no longer knows the place where the {verb} of {resource} should go on: {reason}"
    )]
    Expired { resource: Resource, verb: &'static str, reason: String },
}

/// How soon another try makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The network or the API server comes back by itself; or it has forgotten, and is to be asked for everything.
    Soon,
    /// The API server has too much to do.
    Later,
    /// Somebody has to change something.
    Somebody,
}

impl Error {
    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Interrupted { .. }
            | Self::Silent { .. }
            | Self::Expired { .. } => Remedy::Soon,
            Self::Refused { .. } | Self::Malformed { .. } | Self::Review { .. } => Remedy::Later,
            Self::Kubeconfig { .. }
            | Self::Nowhere { .. }
            | Self::Credentials { .. }
            | Self::Forbidden { .. }
            | Self::Unauthorized { .. }
            | Self::Unknown { .. } => Remedy::Somebody,
        }
    }

    /// Whether the API server takes issue with the request itself.
    pub(crate) fn is_refused_form(&self) -> bool {
        matches!(self, Self::Refused { code: 400 | 405 | 422 | 501, .. })
    }
}
