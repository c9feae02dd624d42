//! Whose a token is, and what somebody may do: the API server is asked (`TokenReview`, `SubjectAccessReview`).

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Client, Error};

const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESSES: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const WITHIN: Duration = Duration::from_secs(10);
const ANSWER_BYTES: usize = 64 << 10;
/// What the API server says of the pod for which a token was made.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Somebody whom the API server knows, in its words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, serde::Serialize)]
#[serde(default)]
pub struct User {
    /// `system:serviceaccount:NAMESPACE:NAME`, or a person's.
    #[serde(rename = "username")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    fn extra(&self, key: &str) -> Option<&str> {
        self.extra.get(key)?.first().map(String::as_str)
    }

    /// The node of the pod to which its token is bound; since Kubernetes 1.30.
    pub fn node(&self) -> Option<&str> {
        self.extra(NODE_NAME)
    }

    /// The uid of that pod.
    pub fn pod_uid(&self) -> Option<&str> {
        self.extra(POD_UID)
    }
}

#[derive(Deserialize)]
struct Answer<T> {
    status: T,
}

#[derive(Deserialize)]
struct Authenticated {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    user: User,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Allowed {
    #[serde(default)]
    allowed: bool,
    #[serde(default)]
    denied: bool,
}

/// What is to be allowed.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    pub verb: &'a str,
    /// Of the API group without a name.
    pub resource: &'a str,
    /// Empty: in all.
    pub namespace: &'a str,
}

/// Whose token it is; `Err` with the reason for one that is not accepted. `audience`: for whom it must be meant; empty:
/// for the API server itself.
///
/// # Errors
/// The API server cannot be asked.
pub async fn review(
    client: &Client,
    token: &str,
    audience: &str,
) -> Result<Result<User, String>, Error> {
    let mut spec = serde_json::json!({ "token": token });
    if !audience.is_empty() {
        spec["audiences"] = serde_json::json!([audience]);
    }
    let body = serde_json::json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec,
    });
    Ok(verdict(ask(client, TOKENS, &body).await?, audience))
}

/// Whether somebody may do that.
///
/// # Errors
/// The API server cannot be asked.
pub async fn may(client: &Client, user: &User, act: Act<'_>) -> Result<bool, Error> {
    let Act { verb, resource, namespace } = act;
    let body = serde_json::json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra,
            "resourceAttributes": { "verb": verb, "resource": resource, "namespace": namespace },
        },
    });
    let Allowed { allowed, denied } = ask(client, ACCESSES, &body).await?;
    Ok(allowed && !denied)
}

async fn ask<T: DeserializeOwned>(client: &Client, path: &str, body: &Value) -> Result<T, Error> {
    let review = path.rsplit('/').next().unwrap_or_default().to_owned();
    let failed =
        |reason: String| Error::Review { server: client.server(), review: review.clone(), reason };
    let asked = async {
        let response = client.post(path, body.to_string()).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        if !status.is_success() {
            let text = crate::refusal::line(&body);
            return Err(failed(format!("{status} {text}")));
        }
        serde_json::from_slice::<Answer<T>>(&body).map_err(|error| failed(error.to_string()))
    };
    let answer = tokio::time::timeout(WITHIN, asked).await;
    Ok(answer.map_err(|_| failed(format!("no answer in {WITHIN:?}")))??.status)
}

fn verdict(status: Authenticated, audience: &str) -> Result<User, String> {
    let Authenticated { authenticated, audiences, user, error } = status;
    if !authenticated {
        return Err(if error.is_empty() { "it is not valid".into() } else { error });
    }
    // An API server that does not know audiences says nothing of them; then nobody can tell for whom it is meant.
    if !audience.is_empty() && !audiences.iter().any(|it| it == audience) {
        return Err(format!("it is not meant for {audience:?}"));
    }
    if user.name.is_empty() {
        return Err("it is nobody's".into());
    }
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: serde_json::Value, audience: &str, expected: Result<User, &str>) {
        let status = serde_json::from_value(status).unwrap();
        assert_eq!(verdict(status, audience), expected.map_err(ToOwned::to_owned));
    }

    #[test]
    fn a_token_counts_only_for_whom_it_is_meant() {
        check(serde_json::json!({}), "hub", Err("it is not valid"));
        check(serde_json::json!({ "error": "expired" }), "hub", Err("expired"));
        let user =
            serde_json::json!({ "username": "u", "groups": ["g"], "extra": { NODE_NAME: ["n1"] } });
        let status = |audiences: &[&str]| serde_json::json!({ "authenticated": true, "user": user, "audiences": audiences });
        check(status(&[]), "hub", Err("it is not meant for \"hub\""));
        check(status(&["other"]), "hub", Err("it is not meant for \"hub\""));
        let extra = [(NODE_NAME.to_owned(), vec!["n1".to_owned()])].into();
        let known = User { name: "u".into(), groups: vec!["g".into()], extra, ..User::default() };
        assert_eq!((known.node(), known.pod_uid()), (Some("n1"), None));
        check(status(&["hub"]), "hub", Ok(known.clone()));
        check(status(&[]), "", Ok(known));
        check(serde_json::json!({ "authenticated": true }), "", Err("it is nobody's"));
    }
}
