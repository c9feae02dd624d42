//! Identity tokens: who signed them, and whether they are meant for us (OpenID Connect Core 3.1.3.7).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde_json::{Map, Value};

pub type Claims = Map<String, Value>;

/// Clocks that differ.
const LEEWAY_S: u64 = 60;

/// A provider's key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Key {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: String,
    n: String,
    e: String,
    x: String,
    y: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

/// What a token has to say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    pub now_s: u64,
}

/// Why a token does not count.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Others may have come since.
    #[error("none of the provider's keys has signed it")]
    Key,
    #[error("{0}")]
    Other(String),
}

fn wrong(reason: impl Into<String>) -> Wrong {
    Wrong::Other(reason.into())
}

/// # Errors
/// Why it does not count.
pub fn verify(token: &str, keys: &[Key], expected: &Expected<'_>) -> Result<Claims, Wrong> {
    let malformed = || wrong("it is no signed token");
    let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (head, body) = signed.split_once('.').ok_or_else(malformed)?;
    let decode = |text: &str| BASE64.decode(text).map_err(|_| malformed());
    let header: Header = serde_json::from_slice(&decode(head)?).map_err(|_| malformed())?;
    if header.crit.is_some() {
        return Err(wrong("it has extensions that are not understood"));
    }
    let signature = decode(signature)?;
    let mut candidates = keys.iter().filter(|key| key.may_be(&header));
    if !candidates.any(|key| key.has_signed(&header.alg, signed.as_bytes(), &signature)) {
        return Err(Wrong::Key);
    }
    let claims: Claims = serde_json::from_slice(&decode(body)?).map_err(|_| malformed())?;
    check(&claims, expected)?;
    Ok(claims)
}

fn check(claims: &Claims, expected: &Expected<'_>) -> Result<(), Wrong> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let time = |name: &str| claims.get(name).and_then(Value::as_f64).map(|it| it as u64);
    if text("iss") != Some(expected.issuer) {
        return Err(wrong("it is another issuer's"));
    }
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let party = text("azp");
    if !audiences.contains(&expected.client_id)
        || party.is_some_and(|it| it != expected.client_id)
        || (audiences.len() > 1 && party.is_none())
    {
        return Err(wrong("it is meant for somebody else"));
    }
    if time("exp").is_none_or(|it| it + LEEWAY_S <= expected.now_s) {
        return Err(wrong("it has expired"));
    }
    if ["iat", "nbf"].into_iter().filter_map(time).any(|it| it > expected.now_s + LEEWAY_S) {
        return Err(wrong("it is of the future; see the clocks"));
    }
    if text("nonce") != Some(expected.nonce) {
        return Err(wrong("it belongs to another sign-in"));
    }
    Ok(())
}

impl Key {
    fn may_be(&self, header: &Header) -> bool {
        (header.kid.is_none() || header.kid == self.kid)
            && self.usage.as_ref().is_none_or(|it| it == "sig")
            && self.alg.as_ref().is_none_or(|it| *it == header.alg)
    }

    /// The algorithm must fit the key: a token does not choose how it is looked at.
    fn has_signed(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let part = |text: &str| BASE64.decode(text.trim_end_matches('='));
        let rsa: Option<&RsaParameters> = match algorithm {
            "RS256" => Some(&RSA_PKCS1_2048_8192_SHA256),
            "RS384" => Some(&RSA_PKCS1_2048_8192_SHA384),
            "RS512" => Some(&RSA_PKCS1_2048_8192_SHA512),
            "PS256" => Some(&RSA_PSS_2048_8192_SHA256),
            "PS384" => Some(&RSA_PSS_2048_8192_SHA384),
            "PS512" => Some(&RSA_PSS_2048_8192_SHA512),
            _ => None,
        };
        if let Some(rsa) = rsa.filter(|_| self.kty == "RSA") {
            let (Ok(n), Ok(e)) = (part(&self.n), part(&self.e)) else { return false };
            return RsaPublicKeyComponents { n, e }.verify(rsa, message, signature).is_ok();
        }
        let (curve, point): (&'static dyn VerificationAlgorithm, bool) =
            match (algorithm, self.kty.as_str(), self.crv.as_str()) {
                ("ES256", "EC", "P-256") => (&ECDSA_P256_SHA256_FIXED, true),
                ("ES384", "EC", "P-384") => (&ECDSA_P384_SHA384_FIXED, true),
                ("EdDSA", "OKP", "Ed25519") => (&ED25519, false),
                _ => return false,
            };
        let (Ok(x), Ok(y)) = (part(&self.x), part(&self.y)) else { return false };
        let key = if point { [&[4][..], &x, &y].concat() } else { x };
        UnparsedPublicKey::new(curve, key).verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
    use serde_json::json;

    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    fn good() -> Value {
        json!({ "iss": "https://idp", "aud": "hub", "exp": NOW_S + 60, "iat": NOW_S, "nonce": "n", "sub": "kim" })
    }

    fn token(header: Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let signed = [header, claims.clone()].map(|it| BASE64.encode(it.to_string())).join(".");
        let signature = BASE64.encode(sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn check(token: &str, keys: &[Key], expected: Result<&str, &str>) {
        let wanted = Expected { issuer: "https://idp", client_id: "hub", nonce: "n", now_s: NOW_S };
        let found = verify(token, keys, &wanted).map_err(|it| it.to_string());
        let found = found.as_ref().map(|it| it["sub"].as_str().unwrap()).map_err(String::as_str);
        assert_eq!(found, expected, "{token}");
    }

    #[test]
    fn a_token_counts_if_the_providers_key_has_signed_it() {
        let random = SystemRandom::new();
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random)
                .unwrap();
        let point = pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|it| BASE64.encode(it));
        let key: Key = serde_json::from_value(
            json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": x, "y": y }),
        )
        .unwrap();
        let sign = |message: &[u8]| pair.sign(&random, message).unwrap().as_ref().to_vec();
        let keys = [key.clone()];
        let header = || json!({ "alg": "ES256", "kid": "k" });
        check(&token(header(), &good(), sign), &keys, Ok("kim"));
        check(&token(json!({ "alg": "ES256" }), &good(), sign), &keys, Ok("kim"));
        let none = Err("none of the provider's keys has signed it");
        check(&token(json!({ "alg": "ES256", "kid": "other" }), &good(), sign), &keys, none);
        check(&token(header(), &good(), sign), &[], none);
        check(&token(json!({ "alg": "none" }), &good(), |_| Vec::new()), &keys, none);
        check(&token(json!({ "alg": "HS256", "kid": "k" }), &good(), |_| vec![0; 32]), &keys, none);
        check(&token(json!({ "alg": "RS256", "kid": "k" }), &good(), sign), &keys, none);
        let other = Key { usage: Some("enc".into()), ..key };
        check(&token(header(), &good(), sign), &[other], none);
        let crit = json!({ "alg": "ES256", "kid": "k", "crit": ["x"] });
        check(&token(crit, &good(), sign), &keys, Err("it has extensions that are not understood"));
        check("a.b", &keys, Err("it is no signed token"));
        let mut forged = token(header(), &good(), sign);
        forged.insert(forged.find('.').unwrap() + 3, 'A');
        check(&forged, &keys, none);
    }

    #[test]
    fn a_token_counts_if_it_is_ours() {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let x = BASE64.encode(pair.public_key());
        let keys: [Key; 1] =
            [serde_json::from_value(json!({ "kty": "OKP", "crv": "Ed25519", "x": x })).unwrap()];
        let with = |name: &str, value: Value, expected| {
            let mut claims = good();
            claims[name] = value;
            let sign = |message: &[u8]| pair.sign(message).as_ref().to_vec();
            check(&token(json!({ "alg": "EdDSA" }), &claims, sign), &keys, expected);
        };
        with("iss", json!("https://idp"), Ok("kim"));
        with("iss", json!("https://idp/"), Err("it is another issuer's"));
        with("aud", json!(["hub"]), Ok("kim"));
        let elses = Err("it is meant for somebody else");
        with("aud", json!("other"), elses);
        with("aud", json!(["hub", "other"]), elses);
        with("azp", json!("other"), elses);
        with("exp", json!(NOW_S - 61), Err("it has expired"));
        with("exp", Value::Null, Err("it has expired"));
        with("iat", json!(NOW_S + 3600), Err("it is of the future; see the clocks"));
        with("nonce", json!("m"), Err("it belongs to another sign-in"));
        with("nonce", Value::Null, Err("it belongs to another sign-in"));
    }
}
