//! Who may do what: bearer tokens and a simple form of RBAC.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// Somebody with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `system:serviceaccount:NAMESPACE:NAME`, or a person's name.
    pub name: String,
    pub token: String,
    pub groups: Vec<String>,
    /// What a review of its token says in `extra`: `authentication.kubernetes.io/node-name` and the like.
    pub extra: Vec<(String, String)>,
    /// Audiences for which the token is valid; that of the API server if empty.
    pub audiences: Vec<String>,
    pub rules: Vec<Rule>,
}

/// Something that is allowed. An empty list allows nothing; `*` allows all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `get`, `list`, `watch`, `create`.
    pub verbs: Vec<String>,
    /// With the group if it has one: `pods`, `replicasets.apps`.
    pub resources: Vec<String>,
    /// In this namespace only.
    pub namespace: Option<String>,
}

/// The audience of tokens that are for the API server itself.
pub const API_AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

impl User {
    /// May do everything.
    pub fn admin(token: impl Into<String>) -> Self {
        let rule =
            Rule { verbs: vec!["*".to_owned()], resources: vec!["*".to_owned()], namespace: None };
        Self {
            name: "kubernetes-admin".to_owned(),
            groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
            rules: vec![rule],
            ..Self::with_token(token)
        }
    }

    /// A service account, with what it may get, list and watch: `pods`, `replicasets.apps`.
    pub fn service_account(
        namespace: &str,
        name: &str,
        token: impl Into<String>,
        reads: &[&str],
    ) -> Self {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
            rules: vec![Rule {
                verbs: owned(&["get", "list", "watch"]),
                resources: owned(reads),
                namespace: None,
            }],
            ..Self::with_token(token)
        }
    }

    fn with_token(token: impl Into<String>) -> Self {
        Self {
            name: String::new(),
            token: token.into(),
            groups: Vec::new(),
            extra: Vec::new(),
            audiences: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// Bound to a pod on `node`, as projected tokens are.
    #[must_use]
    pub fn on_node(mut self, node: &str, pod: &str) -> Self {
        for (key, value) in [("node-name", node), ("pod-name", pod)] {
            self.extra.push((format!("authentication.kubernetes.io/{key}"), value.to_owned()));
        }
        self
    }

    /// For these audiences instead of the API server.
    #[must_use]
    pub fn for_audiences(mut self, audiences: &[&str]) -> Self {
        self.audiences = audiences.iter().map(|&audience| audience.to_owned()).collect();
        self
    }

    /// With one more thing allowed.
    #[must_use]
    pub fn allowed(mut self, verb: &str, resource: &str) -> Self {
        self.rules.push(Rule {
            verbs: vec![verb.to_owned()],
            resources: vec![resource.to_owned()],
            namespace: None,
        });
        self
    }

    /// A person or a group by its name, with nothing allowed yet.
    pub fn named(name: &str, token: impl Into<String>) -> Self {
        Self { name: name.to_owned(), ..Self::with_token(token) }
    }

    /// With one more thing allowed, in this namespace only.
    #[must_use]
    pub fn allowed_in(mut self, namespace: &str, verb: &str, resource: &str) -> Self {
        self = self.allowed(verb, resource);
        if let Some(rule) = self.rules.last_mut() {
            rule.namespace = Some(namespace.to_owned());
        }
        self
    }

    /// `resource` with its group; `namespace` empty for the whole cluster.
    pub fn may(&self, verb: &str, resource: &str, namespace: &str) -> bool {
        let has = |words: &[String], word| words.iter().any(|one| one == "*" || one == word);
        self.rules.iter().any(|rule| {
            has(&rule.verbs, verb)
                && has(&rule.resources, resource)
                && rule.namespace.as_ref().is_none_or(|only| only == namespace)
        })
    }

    fn is_for(&self, audience: &str) -> bool {
        if self.audiences.is_empty() {
            audience == API_AUDIENCE
        } else {
            self.audiences.iter().any(|one| one == audience)
        }
    }
}

/// All who have tokens.
#[derive(Debug, Default)]
pub(super) struct Users {
    users: Mutex<Vec<User>>,
}

impl Users {
    pub fn new(users: Vec<User>) -> Self {
        Self { users: Mutex::new(users) }
    }

    /// Replaces whoever has the same token.
    pub fn add(&self, user: User) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|other| other.token != user.token);
        users.push(user);
    }

    pub fn revoke(&self, token: &str) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|user| user.token != token);
    }

    fn find(&self, token: &str) -> Option<User> {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.iter().find(|user| user.token == token).cloned()
    }

    /// Whether somebody of that name may do that, or one of the groups: a group is a user whose name is the group's.
    pub fn allows(
        &self,
        name: &str,
        groups: &[String],
        verb: &str,
        resource: &str,
        namespace: &str,
    ) -> bool {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users
            .iter()
            .filter(|user| user.name == name || groups.contains(&user.name))
            .any(|user| user.may(verb, resource, namespace))
    }

    /// Whose request it is, by its `Authorization` header. None: nobody's.
    pub fn authenticate(&self, authorization: Option<&str>) -> Option<User> {
        let token = authorization?.strip_prefix("Bearer ")?.trim();
        self.find(token).filter(|user| user.is_for(API_AUDIENCE))
    }

    /// The status of a `TokenReview`: who has `token`, if it is for one of `audiences` (for this server if that is empty).
    pub fn review(&self, token: &str, audiences: &[String]) -> Value {
        let api = [API_AUDIENCE.to_owned()];
        let audiences = if audiences.is_empty() { &api } else { audiences };
        let Some(user) = self.find(token) else {
            return json!({ "error": "[invalid bearer token, token lookup failed]" });
        };
        let valid: Vec<&String> =
            audiences.iter().filter(|audience| user.is_for(audience)).collect();
        if valid.is_empty() {
            return json!({ "error": format!("token audiences {:?} is invalid for the target audiences {audiences:?}", user.audiences) });
        }
        let extra: serde_json::Map<String, Value> =
            user.extra.iter().map(|(key, value)| (key.clone(), json!([value]))).collect();
        json!({
            "authenticated": true,
            "user": {
                "username": user.name,
                "uid": format!("uid-of-{}", user.name),
                "groups": user.groups,
                "extra": extra,
            },
            "audiences": valid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_may_what_their_rules_say() {
        let hub = User::service_account("amphipod", "hub", "t", &["pods", "replicasets.apps"]);
        let check = |user: &User, verb, resource, expected| {
            assert_eq!(user.may(verb, resource, "shop"), expected, "{verb} {resource}");
        };
        check(&hub, "watch", "pods", true);
        check(&hub, "list", "replicasets.apps", true);
        check(&hub, "list", "jobs.batch", false);
        check(&hub, "create", "pods", false);
        check(&hub.clone().allowed("create", "tokenreviews"), "create", "tokenreviews", true);
        check(&User::admin("t"), "delete", "anything", true);
        let mut bound = hub;
        bound.rules[0].namespace = Some("other".to_owned());
        check(&bound, "list", "pods", false);
        assert!(bound.may("list", "pods", "other") && !bound.may("list", "pods", ""));
    }

    #[test]
    fn a_review_knows_tokens_and_audiences() {
        let agent = User::service_account("amphipod", "agent", "t", &[]).on_node("n1", "p1");
        let users = Users::new(vec![agent.for_audiences(&["hub"])]);
        let check = |token: &str, audiences: &[&str], expected: bool| {
            let audiences: Vec<String> = audiences.iter().map(|&a| a.to_owned()).collect();
            let status = users.review(token, &audiences);
            assert_eq!(status["authenticated"].as_bool().unwrap_or(false), expected, "{status}");
            status
        };
        let status = check("t", &["other", "hub"], true);
        assert_eq!(status["audiences"], json!(["hub"]));
        assert_eq!(
            status["user"]["extra"]["authentication.kubernetes.io/node-name"],
            json!(["n1"])
        );
        check("t", &["other"], false);
        check("t", &[], false);
        check("x", &["hub"], false);
        assert!(users.authenticate(Some("Bearer t")).is_none(), "not for this server");
        users.add(User::admin("a"));
        assert!(users.authenticate(Some("Bearer a")).is_some());
        users.revoke("a");
        assert!(users.authenticate(Some("Bearer a")).is_none());
        assert!(users.authenticate(None).is_none());
    }
}
