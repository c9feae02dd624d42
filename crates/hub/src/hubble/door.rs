//! Who asks: the same people as at the API, with the token that they show there.

use std::sync::atomic::Ordering;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Scope;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::{Hubble, Method};
use crate::access::{Person, Refused};

impl Hubble {
    /// # Errors
    /// Why they do not come in.
    pub(super) async fn person(
        &self,
        method: Method,
        metadata: &MetadataMap,
    ) -> Result<Person, Status> {
        self.counters.requests[method as usize].fetch_add(1, Ordering::Relaxed);
        let mut headers = HeaderMap::new();
        let shown = metadata.get("authorization").and_then(|it| it.to_str().ok());
        if let Some(value) = shown.and_then(|it| HeaderValue::from_str(&bearer(it)).ok()) {
            headers.insert(header::AUTHORIZATION, value);
        }
        let counters = &self.access.counters;
        let (method, refused) = (
            method.name(),
            match self.access.person(&headers).await {
                Ok(person) => {
                    counters.allowed.fetch_add(1, Ordering::Relaxed);
                    if let Some(user) = &person.user {
                        let user = model::text::printable(user.name.as_bytes());
                        tracing::info!(target: "audit", user, method = method.name(), "asked as Hubble");
                    }
                    return Ok(person);
                }
                Err(refused) => refused,
            },
        );
        Err(match refused {
            Refused::Nobody => {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::info!(target: "audit", method, reason = "nobody", "refused");
                Status::unauthenticated(
                    "show a token: authorization: Bearer TOKEN, or with hubble --basic-auth-username token \
                     --basic-auth-password TOKEN",
                )
            }
            Refused::Wrong(reason) => {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::info!(target: "audit", method, reason, "refused");
                Status::unauthenticated(reason)
            }
            Refused::Unavailable(reason) => {
                counters.unavailable.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(reason, "it cannot be found out who asks, or what they may see");
                Status::unavailable("it cannot be found out what you may see; try again soon")
            }
        })
    }
}

/// Hubble's command line sends no tokens, but a name and a password: then that is the token, whatever the name.
fn bearer(value: &str) -> String {
    let token = value.split_once(' ').and_then(|(scheme, text)| {
        let is_basic = scheme.eq_ignore_ascii_case("basic");
        let text = is_basic.then(|| STANDARD.decode(text.trim()).ok()).flatten()?;
        let text = String::from_utf8(text).ok()?;
        text.split_once(':').map(|(_, password)| format!("Bearer {password}"))
    });
    token.unwrap_or_else(|| value.to_owned())
}

/// # Errors
/// A namespace may not be seen. That it exists is not said.
pub fn must_see(scope: &Scope, namespace: &str) -> Result<(), Status> {
    if namespace.is_empty() || scope.has(namespace) {
        return Ok(());
    }
    let namespace = model::text::printable(namespace.as_bytes());
    let detail = format!("namespace {namespace}: you may not see it; who may list pods there does");
    Err(Status::permission_denied(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_a_token() {
        let check = |value: &str, expected: &str| assert_eq!(bearer(value), expected);
        check("Bearer a.b.c", "Bearer a.b.c");
        // "token:a.b:c".
        check("Basic dG9rZW46YS5iOmM=", "Bearer a.b:c");
        check("basic dG9rZW46YS5iOmM=", "Bearer a.b:c");
        check("Basic ?", "Basic ?");
        check("", "");
    }
}
