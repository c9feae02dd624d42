//! What goes wrong, as the `Status` object that the real server sends.

use serde_json::{Value, json};

use super::resource::Resource;

#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    /// Name, group, kind, causes, seconds until a retry; null if there is nothing of that.
    pub details: Value,
    /// Where an interrupted list may go on, though not consistently.
    pub continue_at: Option<String>,
}

impl Status {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, reason, message, details: Value::Null, continue_at: None }
    }

    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// `user`, `verb` and where: in a namespace, or in the whole cluster if that is empty.
    pub fn forbidden(
        user: &str,
        verb: &str,
        resource: &str,
        group: &str,
        name: &str,
        namespace: &str,
    ) -> Self {
        let qualified =
            if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        let what = if name.is_empty() { qualified } else { format!("{qualified} \"{name}\"") };
        let place = if namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{namespace}\"")
        };
        let message = format!(
            "{what} is forbidden: User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}"
        );
        let details = named(name, group, resource);
        Self { details, ..Self::new(403, "Forbidden", message) }
    }

    pub fn not_found(resource: Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        let details = named(name, resource.group(), resource.name());
        Self { details, ..Self::new(404, "NotFound", message) }
    }

    pub fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self { details: json!({}), ..Self::new(404, "NotFound", message) }
    }

    pub fn method(resource: &str) -> Self {
        let message = "the server does not allow this method on the requested resource";
        let details = json!({ "kind": resource });
        Self { details, ..Self::new(405, "MethodNotAllowed", message) }
    }

    /// `accepted`: media types that the server speaks.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message =
            format!("only the following media types are accepted: {}", accepted.join(", "));
        Self::new(406, "NotAcceptable", message)
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub fn too_old(version: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {version} ({oldest})"))
    }

    pub fn continue_expired(again: String) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
        Self { continue_at: Some(again), ..Self::expired(message) }
    }

    pub fn too_large(version: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {version}, current: {current}");
        let cause = json!({
            "reason": "ResourceVersionTooLarge",
            "message": "Too large resource version",
        });
        let details = json!({ "causes": [cause], "retryAfterSeconds": 1 });
        Self { details, ..Self::new(504, "Timeout", message) }
    }

    /// A list option that does not go with the others.
    pub fn forbidden_option(field: &str, message: &str) -> Self {
        let body = format!("Forbidden: {message}");
        let cause = json!({ "reason": "FieldValueForbidden", "message": body, "field": field });
        let details = json!({ "group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause] });
        let text = format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: {body}");
        Self { details, ..Self::new(422, "Invalid", text) }
    }

    pub fn too_many_requests(retry_after_s: u32) -> Self {
        let message = "too many requests, please try again later";
        let details = json!({ "retryAfterSeconds": retry_after_s });
        Self { details, ..Self::new(429, "TooManyRequests", message) }
    }

    pub fn json(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        if let Some(at) = &self.continue_at {
            status["metadata"]["continue"] = json!(at);
        }
        status
    }
}

fn named(name: &str, group: &str, kind: &str) -> Value {
    let mut details = serde_json::Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details.insert(key.to_owned(), value.into());
        }
    }
    Value::Object(details)
}
