//! People who sign in with an OpenID provider: authorization code with PKCE. The provider is asked once what it is, and
//! again for keys that nobody has seen yet.

mod token;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64};
use bytes::Bytes;
use daemon::http::Fetch;
use form_urlencoded::Serializer;
use http_body_util::Full;
use reflector::User;
use ring::digest::{SHA256, digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;

use self::token::{Claims, Expected, Key, Wrong, verify};
use super::seal::Seal;
use crate::config::{self, is_safe};

/// What the provider says of itself is asked again after that.
const HOLDS: Duration = Duration::from_secs(3600);
/// Keys are asked again, but not with each forged token.
const KEYS_HOLD: Duration = Duration::from_secs(30);
/// How long a sign-in may take.
pub const PATIENCE_S: u64 = 600;
const MOST_GROUPS: usize = 1000;
const LONGEST_NAME: usize = 256;
/// Names that mean something to the API server are not a provider's to give.
const RESERVED: &str = "system:";

pub struct Provider {
    config: config::Oidc,
    redirect: String,
    fetch: Fetch,
    known: Mutex<Option<(Instant, Arc<Known>)>>,
}

/// What the provider says of itself.
#[derive(Clone, Debug)]
struct Known {
    about: About,
    keys: Vec<Key>,
}

#[derive(Clone, Debug, Deserialize)]
struct About {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Value>,
}

/// A sign-in that has begun, kept by the browser.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begun {
    state: String,
    nonce: String,
    verifier: String,
    /// Where somebody wanted to go.
    pub to: String,
    pub until_s: u64,
}

/// What the provider sends somebody back with.
#[derive(Debug, Default)]
pub struct Returned {
    pub code: String,
    pub state: String,
    pub issuer: Option<String>,
    pub error: Option<String>,
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the provider {issuer} does not answer as it should: {reason}")]
    Provider { issuer: String, reason: String },
    #[error("{0}")]
    Refused(String),
}

impl Provider {
    pub fn new(config: config::Oidc, origin: &str, fetch: Fetch) -> Self {
        let redirect = format!("{origin}/auth/callback");
        Self { config, redirect, fetch, known: Mutex::new(None) }
    }

    pub fn fetch(&self) -> &Fetch {
        &self.fetch
    }

    fn failed(&self, reason: impl Into<String>) -> Error {
        Error::Provider { issuer: self.config.issuer.clone(), reason: reason.into() }
    }

    /// Where to send somebody who wants to go to `to`, and what their browser is to keep meanwhile.
    ///
    /// # Errors
    /// The provider does not answer.
    pub async fn begin(
        &self,
        seal: &Seal,
        to: String,
        now_s: u64,
    ) -> Result<(String, Begun), Error> {
        let known = self.known(HOLDS).await?;
        let random = || seal.random::<32>().ok_or_else(|| self.failed("there is no randomness"));
        let begun = Begun {
            state: random()?,
            nonce: random()?,
            verifier: random()?,
            to,
            until_s: now_s + PATIENCE_S,
        };
        let challenge = BASE64.encode(digest(&SHA256, begun.verifier.as_bytes()));
        let mut query = Serializer::new(String::new());
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", self.config.client_id.as_str()),
            ("redirect_uri", self.redirect.as_str()),
            ("scope", self.config.scopes.as_str()),
            ("state", begun.state.as_str()),
            ("nonce", begun.nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ] {
            query.append_pair(name, value);
        }
        let endpoint = &known.about.authorization_endpoint;
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        Ok((format!("{endpoint}{separator}{}", query.finish()), begun))
    }

    /// Who has come back.
    ///
    /// # Errors
    /// The provider does not answer, or what it says is about something else.
    pub async fn finish(
        &self,
        begun: &Begun,
        returned: Returned,
        now_s: u64,
    ) -> Result<User, Error> {
        let refused = |reason: &str| Err(Error::Refused(reason.to_owned()));
        if begun.until_s <= now_s {
            return refused("it took too long; sign in again");
        }
        if returned.state != begun.state {
            return refused("the answer belongs to another sign-in; sign in again");
        }
        if returned.issuer.is_some_and(|it| it != self.config.issuer) {
            return refused("the answer comes from another provider");
        }
        if let Some(error) = returned.error {
            let error = model::text::printable(error.as_bytes());
            return Err(Error::Refused(format!("the provider says {error}")));
        }
        let known = self.known(HOLDS).await?;
        let token = self.redeem(&known.about, &returned.code, &begun.verifier).await?;
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce: &begun.nonce,
            now_s,
        };
        let claims = match verify(&token, &known.keys, &expected) {
            Err(Wrong::Key) => verify(&token, &self.known(KEYS_HOLD).await?.keys, &expected),
            verified => verified,
        };
        let claims =
            claims.map_err(|wrong| self.failed(format!("its token does not count: {wrong}")))?;
        user(&self.config, &claims).map_err(Error::Refused)
    }

    async fn known(&self, holds: Duration) -> Result<Arc<Known>, Error> {
        let mut kept = self.known.lock().await;
        if let Some((since, known)) = &*kept
            && since.elapsed() < holds
        {
            return Ok(known.clone());
        }
        let issuer = &self.config.issuer;
        let path = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let about: About = self.get(&path).await?;
        if about.issuer != *issuer {
            return Err(self.failed(format!("it calls itself {:?} (oidc.issuer)", about.issuer)));
        }
        let endpoints = [&about.authorization_endpoint, &about.token_endpoint, &about.jwks_uri];
        if let Some(endpoint) = endpoints.into_iter().find(|it| !is_safe(it)) {
            return Err(self.failed(format!("{endpoint:?} is not reached over TLS")));
        }
        let Keys { keys } = self.get(&about.jwks_uri).await?;
        // Those of a kind that is not known are left out.
        let keys = keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        let known = Arc::new(Known { about, keys });
        *kept = Some((Instant::now(), known.clone()));
        Ok(known)
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, Error> {
        let request = Request::get(url).header(header::ACCEPT, "application/json");
        self.json(request.body(Full::default()).map_err(|error| self.failed(error.to_string()))?)
            .await
    }

    async fn json<T: DeserializeOwned>(&self, request: Request<Full<Bytes>>) -> Result<T, Error> {
        let path = request.uri().path().to_owned();
        let answer = self.fetch.send(request).await.map_err(|reason| self.failed(reason))?;
        if !answer.status.is_success() {
            return Err(self.failed(format!("{path}: {}", answer.refusal())));
        }
        let parsed = serde_json::from_slice(&answer.body);
        parsed.map_err(|error| self.failed(format!("{path}: {error}")))
    }

    /// The identity token for a code.
    async fn redeem(&self, about: &About, code: &str, verifier: &str) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: String,
        }
        let secret = self.secret().await?;
        let request = self.redemption(about, code, verifier, secret);
        let request = request.map_err(|error| self.failed(error.to_string()))?;
        let Tokens { id_token } = self.json(request).await?;
        Ok(id_token)
    }

    fn redemption(
        &self,
        about: &About,
        code: &str,
        verifier: &str,
        secret: Option<String>,
    ) -> Result<Request<Full<Bytes>>, axum::http::Error> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.redirect)
            .append_pair("code_verifier", verifier);
        let mut request = Request::post(&about.token_endpoint)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        let client = &self.config.client_id;
        let methods = about.token_endpoint_auth_methods_supported.as_ref();
        let basic =
            methods.is_none_or(|it| it.iter().any(|method| method == "client_secret_basic"));
        match secret {
            Some(secret) if basic => {
                let encode = |text: &str| {
                    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
                };
                let pair = STANDARD.encode(format!("{}:{}", encode(client), encode(&secret)));
                let mut value = HeaderValue::from_str(&format!("Basic {pair}"))?;
                value.set_sensitive(true);
                request = request.header(header::AUTHORIZATION, value);
            }
            secret => {
                form.append_pair("client_id", client);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", &secret);
                }
            }
        }
        request.body(Full::from(form.finish()))
    }

    /// Read anew each time: it may be replaced.
    async fn secret(&self) -> Result<Option<String>, Error> {
        let Some(path) = &self.config.client_secret else { return Ok(None) };
        let read = tokio::fs::read_to_string(path).await;
        let text = read.map_err(|error| {
            Error::Refused(format!("{}: {error} (oidc.client_secret)", path.display()))
        })?;
        Ok(Some(text.trim().to_owned()))
    }
}

/// As the API server would know them with the same claims and prefixes.
fn user(config: &config::Oidc, claims: &Claims) -> Result<User, String> {
    let claim = &config.username_claim;
    let name = claims.get(claim).and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(format!("the provider's token has no {claim:?} (oidc.username_claim)"));
    }
    if claim == "email" && claims.get("email_verified").is_some_and(|it| *it != Value::Bool(true)) {
        return Err("the provider has not verified the email address".into());
    }
    let name = format!("{}{name}", config.username_prefix);
    if name.starts_with(RESERVED) {
        return Err(format!("{name:?} is a name of the cluster's own (oidc.username_prefix)"));
    }
    let groups: Vec<&str> = match claims.get(&config.groups_claim) {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if groups.len() > MOST_GROUPS {
        return Err(format!("more than {MOST_GROUPS} groups; let the provider tell fewer"));
    }
    let groups = groups.into_iter().map(|it| format!("{}{it}", config.groups_prefix));
    let mut groups: Vec<String> = groups.filter(|it| !it.starts_with(RESERVED)).collect();
    groups.sort();
    groups.dedup();
    groups.push("system:authenticated".to_owned());
    Ok(User { name, groups, ..User::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn somebody_is_who_the_claims_say_but_nobody_of_the_clusters_own() {
        let config = config::Oidc {
            issuer: String::new(),
            client_id: String::new(),
            client_secret: None,
            ca: None,
            scopes: String::new(),
            username_claim: "email".into(),
            username_prefix: String::new(),
            groups_claim: "groups".into(),
            groups_prefix: String::new(),
        };
        let check =
            |config: &config::Oidc, claims: Value, expected: Result<(&str, &[&str]), &str>| {
                let found = user(config, claims.as_object().unwrap());
                match expected {
                    Ok((name, groups)) => {
                        let found = found.unwrap();
                        assert_eq!(found.name, name);
                        assert_eq!(found.groups, [groups, &["system:authenticated"]].concat());
                    }
                    Err(reason) => assert!(found.unwrap_err().contains(reason)),
                }
            };
        check(&config, json!({ "email": "a@b", "groups": ["x", "x"] }), Ok(("a@b", &["x"])));
        check(&config, json!({ "email": "a@b", "groups": "x" }), Ok(("a@b", &["x"])));
        check(&config, json!({ "email": "a@b", "groups": ["system:masters"] }), Ok(("a@b", &[])));
        check(&config, json!({ "email": "a@b", "email_verified": false }), Err("verified"));
        check(&config, json!({ "email": "system:admin" }), Err("cluster's own"));
        check(&config, json!({ "sub": "1" }), Err("oidc.username_claim"));
        let prefixed = config::Oidc {
            username_prefix: "oidc:".into(),
            groups_prefix: "oidc:".into(),
            ..config
        };
        let claims = json!({ "email": "system:admin", "groups": ["system:masters"] });
        check(&prefixed, claims, Ok(("oidc:system:admin", &["oidc:system:masters"])));
    }
}
