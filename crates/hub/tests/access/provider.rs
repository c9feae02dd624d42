//! A scripted OpenID provider.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING as ES256, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub const SECRET: &str = "se:cret";

#[derive(Clone)]
pub struct Provider(Arc<Inner>);

struct Inner {
    issuer: String,
    script: Mutex<Script>,
    random: SystemRandom,
}

struct Script {
    key: EcdsaKeyPair,
    kid: u32,
    /// Replace what the token says by itself.
    claims: Value,
    /// By code: what the hub has asked for.
    begun: HashMap<String, HashMap<String, String>>,
    keys_asked: u32,
}

fn key() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ES256, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ES256, pkcs8.as_ref(), &random).unwrap()
}

impl Provider {
    pub fn start(runtime: &Runtime) -> Self {
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let issuer = format!("http://{}/realm", listener.local_addr().unwrap());
        let script =
            Script { key: key(), kid: 1, claims: json!({}), begun: HashMap::new(), keys_asked: 0 };
        let inner = Inner { issuer, script: Mutex::new(script), random: SystemRandom::new() };
        let provider = Self(Arc::new(inner));
        let routes = Router::new()
            .route("/realm/.well-known/openid-configuration", get(about))
            .route("/realm/keys", get(keys))
            .route("/realm/token", post(token))
            .with_state(provider.clone());
        runtime.spawn(async move { axum::serve(listener, routes).await });
        provider
    }

    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// As somebody would who is sent to `location`; where they are sent back to.
    pub fn sign_in(&self, location: &str, claims: Value) -> (String, HashMap<String, String>) {
        let (endpoint, query) = location.split_once('?').unwrap();
        assert_eq!(endpoint, format!("{}/authorize", self.0.issuer));
        let asked: HashMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let code = format!("code-{}", asked["state"]);
        let mut script = self.0.script.lock().unwrap();
        script.claims = claims;
        script.begun.insert(code.clone(), asked.clone());
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &code)
            .append_pair("state", &asked["state"])
            .finish();
        (format!("/auth/callback?{query}"), asked)
    }

    /// Another key from now on.
    pub fn rotate(&self) {
        let mut script = self.0.script.lock().unwrap();
        script.key = key();
        script.kid += 1;
    }

    pub fn keys_asked(&self) -> u32 {
        self.0.script.lock().unwrap().keys_asked
    }
}

async fn about(State(provider): State<Provider>) -> Json<Value> {
    let issuer = provider.issuer();
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
    }))
}

async fn keys(State(provider): State<Provider>) -> Json<Value> {
    let mut script = provider.0.script.lock().unwrap();
    script.keys_asked += 1;
    let point = script.key.public_key().as_ref();
    let [x, y] = [&point[1..33], &point[33..]].map(|it| BASE64.encode(it));
    let key = json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": script.kid.to_string(), "x": x, "y": y });
    Json(json!({ "keys": [{ "kty": "unheard of" }, key] }))
}

async fn token(
    State(provider): State<Provider>,
    headers: HeaderMap,
    body: String,
) -> Result<Json<Value>, StatusCode> {
    let mut script = provider.0.script.lock().unwrap();
    let form: HashMap<String, String> =
        form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    // A code is good for once.
    let asked = script.begun.remove(&form["code"]).ok_or(StatusCode::BAD_REQUEST)?;
    let client = format!("Basic {}", STANDARD.encode("hub:se%3Acret"));
    let challenge = BASE64.encode(digest(&SHA256, form["code_verifier"].as_bytes()));
    let right = headers["authorization"] == client.as_str()
        && form["grant_type"] == "authorization_code"
        && form["redirect_uri"] == asked["redirect_uri"]
        && challenge == asked["code_challenge"]
        && asked["code_challenge_method"] == "S256";
    if !right {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let now_s = model::Timestamp::now().0 / 1_000_000_000;
    let mut claims = json!({
        "iss": provider.issuer(), "aud": "hub", "sub": "1", "iat": now_s, "exp": now_s + 300,
        "nonce": asked["nonce"], "email": "kim@example.org", "email_verified": true,
    });
    claims.as_object_mut().unwrap().extend(script.claims.as_object().unwrap().clone());
    let header = json!({ "alg": "ES256", "kid": script.kid.to_string() });
    let signed = [header, claims].map(|it| BASE64.encode(it.to_string())).join(".");
    let signature = script.key.sign(&provider.0.random, signed.as_bytes()).unwrap();
    Ok(Json(
        json!({ "id_token": format!("{signed}.{}", BASE64.encode(signature)), "token_type": "Bearer" }),
    ))
}
