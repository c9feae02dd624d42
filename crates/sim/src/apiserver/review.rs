//! `TokenReview` and `SubjectAccessReview`: the server is asked whose token somebody has shown, and what somebody may do.

use prost::Message;
use serde_json::{Value, json};

use super::access::Users;
use super::media::PROTOBUF;
use super::status::Status;
use super::wire::MAGIC;

/// Bytes of a review; tokens are a few KB.
pub const MAX_BYTES: usize = 64 << 10;

// What is read of a request; fields as in proto/kubernetes.proto.
#[derive(Message)]
struct Unknown {
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}
#[derive(Message)]
struct Review {
    #[prost(message, optional, tag = "2")]
    spec: Option<Spec>,
}
#[derive(Message)]
struct Spec {
    #[prost(string, tag = "1")]
    token: String,
    #[prost(string, repeated, tag = "2")]
    audiences: Vec<String>,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Token,
    Access,
}

impl Kind {
    pub fn at(path: &str) -> Option<Self> {
        match path {
            "/apis/authentication.k8s.io/v1/tokenreviews" => Some(Self::Token),
            "/apis/authorization.k8s.io/v1/subjectaccessreviews" => Some(Self::Access),
            _ => None,
        }
    }

    pub fn kind(self) -> &'static str {
        match self {
            Self::Token => "TokenReview",
            Self::Access => "SubjectAccessReview",
        }
    }

    pub fn group(self) -> &'static str {
        match self {
            Self::Token => "authentication.k8s.io",
            Self::Access => "authorization.k8s.io",
        }
    }

    pub fn resource(self) -> &'static str {
        match self {
            Self::Token => "tokenreviews",
            Self::Access => "subjectaccessreviews",
        }
    }

    /// The review with its verdict.
    ///
    /// # Errors
    /// The status to send for a body that is no review.
    pub fn answer(self, users: &Users, content_type: &str, body: &[u8]) -> Result<Value, Status> {
        match self {
            Self::Token => token(users, content_type, body),
            Self::Access => access(users, body),
        }
    }
}

/// Only as JSON, and only of resources.
fn access(users: &Users, body: &[u8]) -> Result<Value, Status> {
    let wrong =
        || Status::bad_request("the body is not a SubjectAccessReview of a resource, as JSON");
    let value: Value = serde_json::from_slice(body).map_err(|_| wrong())?;
    let spec = &value["spec"];
    let asked = &spec["resourceAttributes"];
    if value["kind"] != "SubjectAccessReview" || !asked.is_object() {
        return Err(wrong());
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let groups = spec["groups"].as_array().cloned().unwrap_or_default();
    let groups: Vec<String> = groups.iter().map(text).collect();
    let (resource, group) = (text(&asked["resource"]), text(&asked["group"]));
    let resource = if group.is_empty() { resource } else { format!("{resource}.{group}") };
    let (verb, namespace) = (text(&asked["verb"]), text(&asked["namespace"]));
    let allowed = users.allows(&text(&spec["user"]), &groups, &verb, &resource, &namespace);
    Ok(json!({
        "kind": "SubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": spec,
        "status": { "allowed": allowed },
    }))
}

fn token(users: &Users, content_type: &str, body: &[u8]) -> Result<Value, Status> {
    let wrong = || Status::bad_request("the body is not a TokenReview");
    let spec = if content_type.starts_with(PROTOBUF) {
        let body = body.strip_prefix(MAGIC).ok_or_else(wrong)?;
        let unknown = Unknown::decode(body).map_err(|_| wrong())?;
        Review::decode(&*unknown.raw).map_err(|_| wrong())?.spec.unwrap_or_default()
    } else {
        let value: Value = serde_json::from_slice(body).map_err(|_| wrong())?;
        if value["kind"] != "TokenReview" {
            return Err(wrong());
        }
        let audiences = value["spec"]["audiences"].as_array().cloned().unwrap_or_default();
        Spec {
            token: value["spec"]["token"].as_str().unwrap_or_default().to_owned(),
            audiences: audiences.iter().filter_map(|a| Some(a.as_str()?.to_owned())).collect(),
        }
    };
    Ok(json!({
        "kind": "TokenReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {},
        "spec": { "token": spec.token, "audiences": spec.audiences },
        "status": users.review(&spec.token, &spec.audiences),
    }))
}
