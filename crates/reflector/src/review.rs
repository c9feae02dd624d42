//! Whose a token is: the API server is asked (`TokenReview`).

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use serde::Deserialize;

use crate::{Client, Error};

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const WITHIN: Duration = Duration::from_secs(10);
const ANSWER_BYTES: usize = 64 << 10;
/// What the API server says of the pod for which a token was made.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// What the API server says of a token that it accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reviewed {
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// The node of the pod to which the token is bound; since Kubernetes 1.30.
    pub node: Option<String>,
    /// The uid of that pod.
    pub pod_uid: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    user: User,
    #[serde(default)]
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    extra: std::collections::BTreeMap<String, Vec<String>>,
}

/// `Err` with the reason for a token that is not accepted.
///
/// # Errors
/// The API server cannot be asked.
pub async fn review(
    client: &Client,
    token: &str,
    audience: &str,
) -> Result<Result<Reviewed, String>, Error> {
    let body = serde_json::json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": { "token": token, "audiences": [audience] },
    });
    let failed = |reason: String| Error::Review { server: client.server(), reason };
    let asked = async {
        let response = client.post(PATH, body.to_string()).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        if !status.is_success() {
            let text = crate::refusal::line(&body);
            return Err(failed(format!("{status} {text}")));
        }
        serde_json::from_slice::<Answer>(&body).map_err(|error| failed(error.to_string()))
    };
    let answer = tokio::time::timeout(WITHIN, asked).await;
    let Answer { status } = answer.map_err(|_| failed(format!("no answer in {WITHIN:?}")))??;
    Ok(verdict(status, audience))
}

fn verdict(status: Status, audience: &str) -> Result<Reviewed, String> {
    let Status { authenticated, audiences, user, error } = status;
    if !authenticated {
        return Err(if error.is_empty() { "it is not valid".into() } else { error });
    }
    // An API server that does not know audiences says nothing of them; then nobody can tell for whom it is meant.
    if !audiences.iter().any(|it| it == audience) {
        return Err(format!("it is not meant for {audience:?}"));
    }
    let extra = |key: &str| user.extra.get(key)?.first().cloned();
    Ok(Reviewed { node: extra(NODE_NAME), pod_uid: extra(POD_UID), user: user.username })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: serde_json::Value, expected: Result<Reviewed, &str>) {
        let status = serde_json::from_value(status).unwrap();
        assert_eq!(verdict(status, "hub"), expected.map_err(ToOwned::to_owned));
    }

    #[test]
    fn a_token_counts_only_for_whom_it_is_meant() {
        check(serde_json::json!({}), Err("it is not valid"));
        check(serde_json::json!({ "error": "expired" }), Err("expired"));
        let user = serde_json::json!({ "username": "u", "extra": { NODE_NAME: ["n1"] } });
        let audiences = ["other"];
        let status = serde_json::json!({ "authenticated": true, "user": user });
        check(status, Err("it is not meant for \"hub\""));
        let status =
            serde_json::json!({ "authenticated": true, "user": user, "audiences": audiences });
        check(status, Err("it is not meant for \"hub\""));
        let status =
            serde_json::json!({ "authenticated": true, "user": user, "audiences": ["hub"] });
        let node = Some("n1".to_owned());
        check(status, Ok(Reviewed { user: "u".into(), node, pod_uid: None }));
    }
}
