//! Signing in and out.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use daemon::http::Problem;
use model::Scope;

use super::oidc::{Begun, Error, PATIENCE_S, Returned};
use super::{Access, Doors, Refused, SESSION, Who, gate, now_s, page};

/// A sign-in that has begun.
const BEGUN: &str = "amphipod-sign-in";
/// Of a form: a token, and where to go.
const FORM_BYTES: usize = 32 << 10;
const FORM_TIME: Duration = Duration::from_secs(10);
const LONGEST_TO: usize = 1024;

type Pairs = Query<Vec<(String, String)>>;

pub fn routes(access: Arc<Access>) -> Router {
    Router::new()
        .route("/auth/sign-in", get(show))
        .route("/auth/style.css", get(style))
        .route("/auth/provider", get(begin))
        .route("/auth/callback", get(finish))
        .route("/auth/token", post(token))
        .route("/auth/sign-out", post(sign_out))
        .route("/api/v1/session", get(session))
        .with_state(access)
}

pub fn see(location: &str) -> Response {
    let location = HeaderValue::from_str(location).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

fn with_cookies(mut response: Response, cookies: &[String]) -> Response {
    for cookie in cookies {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

fn one<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(its, _)| its == name).map(|(_, value)| value.as_str())
}

/// A place here, and nowhere else.
fn place(pairs: &[(String, String)]) -> String {
    let to = one(pairs, "to").unwrap_or("/");
    let elsewhere = !to.starts_with('/') || to.starts_with("//") || to.contains('\\');
    let strange = to.len() > LONGEST_TO || to.bytes().any(|it| !it.is_ascii_graphic());
    if elsewhere || strange || to.starts_with("/auth/") { "/".into() } else { to.into() }
}

impl Access {
    fn doors(&self) -> Result<&Doors, Problem> {
        let none = "nobody has to sign in here";
        self.doors.as_ref().ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, none))
    }

    /// What is sent from our own pages only. Browsers say where a form comes from.
    fn is_own(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok());
        let own = match (&self.origin, text(header::HOST)) {
            (Some(origin), _) => origin.clone(),
            (None, Some(host)) => {
                format!("{}://{host}", if self.secure { "https" } else { "http" })
            }
            (None, None) => return false,
        };
        let site = headers.get("sec-fetch-site").and_then(|it| it.to_str().ok());
        text(header::ORIGIN).is_some_and(|it| it.eq_ignore_ascii_case(&own))
            && site.is_none_or(|it| it == "same-origin")
    }

    fn must_be_own(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let detail = "this is sent from the hub's own pages only; see Origin, and access.url";
        self.is_own(headers)
            .then_some(())
            .ok_or_else(|| Problem::new(StatusCode::FORBIDDEN, detail))
    }
}

fn sheet(status: StatusCode, doors: &Doors, to: &str, wrong: Option<&str>) -> Response {
    let html = page::sign_in(doors.provider.is_some(), doors.verdicts.takes_tokens(), to, wrong);
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
}

async fn show(State(access): State<Arc<Access>>, Query(pairs): Pairs) -> Result<Response, Problem> {
    Ok(sheet(StatusCode::OK, access.doors()?, &place(&pairs), None))
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE)
}

/// Who is signed in, and how one can.
async fn session(State(access): State<Arc<Access>>, headers: HeaderMap) -> Response {
    let Some(doors) = &access.doors else {
        return axum::Json(serde_json::json!({ "open": true, "all": true, "ways": [] }))
            .into_response();
    };
    let ways = [("provider", doors.provider.is_some()), ("token", doors.verdicts.takes_tokens())];
    let ways: Vec<&str> = ways.into_iter().filter(|(_, is)| *is).map(|(way, _)| way).collect();
    let body = match access.person(&headers).await {
        Ok(person) => {
            let namespaces = match &person.scope {
                Scope::All => None,
                Scope::Namespaces(all) => Some(all.iter().cloned().collect::<Vec<_>>()),
            };
            serde_json::json!({
                "open": false, "ways": ways, "all": namespaces.is_none(), "namespaces": namespaces,
                "user": person.user.map(|it| it.name),
            })
        }
        Err(refused @ Refused::Unavailable(_)) => return gate::problem(&refused),
        Err(_) => serde_json::json!({ "open": false, "ways": ways, "all": false }),
    };
    axum::Json(body).into_response()
}

async fn begin(
    State(access): State<Arc<Access>>,
    Query(pairs): Pairs,
) -> Result<Response, Problem> {
    let doors = access.doors()?;
    let none = || Problem::new(StatusCode::NOT_FOUND, "no provider is known here (oidc.issuer)");
    let provider = doors.provider.as_ref().ok_or_else(none)?;
    match provider.begin(&doors.seal, place(&pairs), now_s()).await {
        Ok((location, begun)) => match doors.seal.seal(BEGUN, &begun) {
            Ok(sealed) => {
                Ok(with_cookies(see(&location), &[doors.jar.set(BEGUN, &sealed, PATIENCE_S)]))
            }
            Err(_) => {
                Ok(sheet(StatusCode::BAD_REQUEST, doors, "/", Some("the address is too long")))
            }
        },
        Err(error) => Ok(failed(doors, "/", &error)),
    }
}

fn failed(doors: &Doors, to: &str, error: &Error) -> Response {
    tracing::info!(target: "audit", reason = %error, "nobody is signed in");
    let status = match error {
        Error::Provider { .. } => StatusCode::BAD_GATEWAY,
        Error::Refused(_) => StatusCode::FORBIDDEN,
    };
    sheet(status, doors, to, Some(&error.to_string()))
}

async fn finish(
    State(access): State<Arc<Access>>,
    headers: HeaderMap,
    Query(pairs): Pairs,
) -> Result<Response, Problem> {
    let doors = access.doors()?;
    let begun = doors.jar.get(&headers, BEGUN).and_then(|it| doors.seal.open::<Begun>(BEGUN, it));
    let (Some(provider), Some(begun)) = (&doors.provider, begun) else {
        let wrong = Some("no sign-in has begun in this browser; sign in again");
        return Ok(sheet(StatusCode::FORBIDDEN, doors, "/", wrong));
    };
    let text = |name: &str| one(&pairs, name).map(str::to_owned);
    let returned = Returned {
        code: text("code").unwrap_or_default(),
        state: text("state").unwrap_or_default(),
        issuer: text("iss"),
        error: text("error"),
    };
    let finished = provider.finish(&begun, returned, now_s()).await;
    let user = match finished {
        Ok(user) => user,
        // A begun sign-in is good for one answer.
        Err(error) => {
            return Ok(with_cookies(failed(doors, &begun.to, &error), &[doors.jar.remove(BEGUN)]));
        }
    };
    let name = user.name.clone();
    let cookie = match doors.begin(Who::User(user), None) {
        Ok(cookie) => cookie,
        Err(wrong) => return Ok(sheet(StatusCode::FORBIDDEN, doors, &begun.to, Some(&wrong))),
    };
    tracing::info!(target: "audit", user = name, way = "provider", "signed in");
    Ok(with_cookies(see(&begun.to), &[cookie, doors.jar.remove(BEGUN)]))
}

async fn form(body: Body) -> Result<Vec<(String, String)>, Problem> {
    let read = tokio::time::timeout(FORM_TIME, axum::body::to_bytes(body, FORM_BYTES)).await;
    let Ok(Ok(bytes)) = read else {
        let detail = format!("expected a form of at most {FORM_BYTES} bytes within {FORM_TIME:?}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    };
    Ok(form_urlencoded::parse(&bytes).into_owned().collect())
}

async fn token(
    State(access): State<Arc<Access>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let doors = access.doors()?;
    access.must_be_own(&headers)?;
    let pairs = form(body).await?;
    let to = place(&pairs);
    let token = one(&pairs, "token").unwrap_or_default().trim();
    let begun = match doors.verdicts.user(token).await {
        Ok(user) => doors.begin(Who::Token(token.to_owned()), expiry_s(token)).map(|it| (user, it)),
        Err(Refused::Wrong(reason)) => Err(reason),
        Err(refused) => return Ok(gate::problem(&refused)),
    };
    match begun {
        Ok((user, cookie)) => {
            tracing::info!(target: "audit", user = user.name, way = "token", "signed in");
            Ok(with_cookies(see(&to), &[cookie]))
        }
        Err(reason) => {
            tracing::info!(target: "audit", reason, "nobody is signed in");
            Ok(sheet(StatusCode::FORBIDDEN, doors, &to, Some(&reason)))
        }
    }
}

async fn sign_out(
    State(access): State<Arc<Access>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let doors = access.doors()?;
    access.must_be_own(&headers)?;
    doors.end(&headers, &access.counters);
    Ok(with_cookies(see("/auth/sign-in"), &[doors.jar.remove(SESSION)]))
}

/// When a token says that it expires. The API server has looked at the signature.
fn expiry_s(token: &str) -> Option<u64> {
    let body = BASE64.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<serde_json::Value>(&body).ok()?["exp"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_sent_to_places_here_only() {
        for (to, expected) in [
            ("/map?namespace=a", "/map?namespace=a"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("/auth/sign-out", "/"),
            ("", "/"),
        ] {
            assert_eq!(place(&[("to".into(), to.into())]), expected, "{to}");
        }
        assert_eq!(place(&[]), "/");
    }

    #[test]
    fn a_session_ends_with_its_token() {
        let body = BASE64.encode(r#"{"exp":1800000000}"#);
        assert_eq!(expiry_s(&format!("a.{body}.c")), Some(1_800_000_000));
        assert_eq!((expiry_s("opaque"), expiry_s("a.%.c")), (None, None));
    }
}
