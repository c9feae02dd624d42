//! What every request passes: who asks, headers that keep browsers from doing harm, and a line for the record.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use daemon::http::Problem;
use model::Scope;

use super::{Access, Person, Refused};

/// The application is files of our own: no inline script or style, nothing from elsewhere, in no frame.
const CONTENT: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", CONTENT),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    // Not "no-referrer": browsers would hide from us where a form comes from.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];
const TRANSPORT: &str = "max-age=31536000";
/// Namespaces that one line of the log names.
const NAMED: usize = 16;
const LONGEST: usize = 512;

/// For orchestration, which has no tokens to show, and for those who want to sign in.
fn is_for_all(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics" | "/api/v1/session")
        || path.starts_with("/auth/")
}

pub async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let is_secret =
        request.uri().path().starts_with("/api/") || request.uri().path().starts_with("/auth/");
    let mut response = access.admit(request, next).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if access.secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TRANSPORT));
    }
    if is_secret {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

impl Access {
    async fn admit(&self, mut request: Request, next: Next) -> Response {
        if self.doors.is_none() && self.local_only && !is_local(request.headers(), request.uri()) {
            let detail = "expected localhost or an address in Host: a website may have sent this";
            return Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response();
        }
        if is_for_all(request.uri().path()) {
            return next.run(request).await;
        }
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let person = match self.person(request.headers()).await {
            Ok(person) => person,
            Err(refused) => {
                let response = self.refuse(&refused, request.headers(), &method, &uri);
                let reason: &str = match &refused {
                    Refused::Nobody => "nobody is signed in",
                    Refused::Wrong(reason) | Refused::Unavailable(reason) => reason,
                };
                let status = response.status().as_u16();
                tracing::info!(target: "audit", %method, what = what(&uri), status, reason, "refused");
                return response;
            }
        };
        self.counters.allowed.fetch_add(1, Ordering::Relaxed);
        let (user, namespaces) = (person.user.clone(), namespaces(&person.scope));
        request.extensions_mut().insert(Arc::new(person));
        let response = next.run(request).await;
        if let Some(user) = user {
            let status = response.status().as_u16();
            tracing::info!(target: "audit", user = shown(&user.name), %method, what = what(&uri), namespaces, status, "asked");
        }
        response
    }

    fn refuse(
        &self,
        refused: &Refused,
        headers: &HeaderMap,
        method: &Method,
        uri: &Uri,
    ) -> Response {
        let counter = match refused {
            Refused::Unavailable(_) => &self.counters.unavailable,
            _ => &self.counters.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let accept =
            headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let is_page = method == Method::GET
            && accept.contains("text/html")
            && !uri.path().starts_with("/api/");
        if is_page && !matches!(refused, Refused::Unavailable(_)) {
            let to = uri.path_and_query().map_or("/", |it| it.as_str());
            let to: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
            return super::sign_in::see(&format!("/auth/sign-in?to={to}"));
        }
        problem(refused)
    }
}

pub fn problem(refused: &Refused) -> Response {
    let (status, detail) = match refused {
        Refused::Nobody => (
            StatusCode::UNAUTHORIZED,
            "sign in at /auth/sign-in, or show a bearer token (Authorization: Bearer ...)",
        ),
        Refused::Wrong(reason) => (StatusCode::UNAUTHORIZED, reason.as_str()),
        Refused::Unavailable(reason) => {
            tracing::warn!(reason, "it cannot be found out who asks, or what they may see");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "it cannot be found out what you may see; see the hub's log, or try again soon",
            )
        }
    };
    let mut response = Problem::new(status, detail).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Whether it is meant for this host by a name that nobody else can give to it (DNS rebinding).
fn is_local(headers: &HeaderMap, uri: &Uri) -> bool {
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let Some(host) = host.or_else(|| uri.authority().map(|it| it.as_str())) else { return true };
    let Ok(authority) = host.parse::<axum::http::uri::Authority>() else { return false };
    let host = authority.host().trim_matches(['[', ']']);
    host == "localhost" || host.ends_with(".localhost") || host.parse::<std::net::IpAddr>().is_ok()
}

/// What was asked, on one line of bounded length. Queries of the API hold no secrets.
fn what(uri: &Uri) -> String {
    let text = match uri.path().starts_with("/api/") {
        true => uri.path_and_query().map_or("/", |it| it.as_str()),
        false => uri.path(),
    };
    shown(text)
}

fn shown(text: &str) -> String {
    let end = (0..=LONGEST.min(text.len())).rev().find(|it| text.is_char_boundary(*it));
    model::text::printable(&text.as_bytes()[..end.unwrap_or(0)])
}

fn namespaces(scope: &Scope) -> String {
    let Scope::Namespaces(all) = scope else { return "all".into() };
    let mut text = all.iter().take(NAMED).map(|it| &**it).collect::<Vec<_>>().join(",");
    if all.len() > NAMED {
        text += &format!(",... ({})", all.len());
    }
    if text.is_empty() { "none".into() } else { text }
}

impl<S: Sync> axum::extract::FromRequestParts<S> for super::Asker {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _: &S,
    ) -> Result<Self, Problem> {
        let person = parts.extensions.get::<Arc<Person>>().cloned().map(Self);
        // A path that somebody forgot to guard shows nothing.
        person.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "nobody is signed in"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_website_that_calls_itself_this_host_is_not_answered() {
        for (host, expected) in [
            ("localhost:7171", true),
            ("hub.localhost", true),
            ("127.0.0.1:7171", true),
            ("[::1]:7171", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("a b", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            assert_eq!(is_local(&headers, &Uri::from_static("/")), expected, "{host}");
        }
    }

    #[test]
    fn the_log_has_lines_of_bounded_length_without_codes() {
        let check =
            |uri: &'static str, expected: &str| assert_eq!(what(&Uri::from_static(uri)), expected);
        check("/api/v1/graph?namespace=a", "/api/v1/graph?namespace=a");
        check("/auth/callback?code=secret", "/auth/callback");
        assert_eq!(shown(&"\u{e4}".repeat(1000)).chars().count(), 256);
        assert_eq!(namespaces(&Scope::All), "all");
        assert_eq!(namespaces(&Scope::of(["b", "a"])), "a,b");
        assert!(namespaces(&Scope::of((0..20).map(|it| it.to_string()))).ends_with(",... (20)"));
    }
}
