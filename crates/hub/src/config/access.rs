//! Who may ask.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use daemon::config::{Error, count, file, quoted, span, wrong};

use super::{Tls, raw};

/// Without an audience and without a provider everybody may see everything.
#[derive(Clone, Debug)]
pub struct Access {
    /// For whom bearer tokens must be meant, empty for the API server; `None`: none are taken.
    pub audience: Option<String>,
    pub oidc: Option<Oidc>,
    /// Where people reach the hub: scheme, host and port.
    pub origin: Option<String>,
    pub session: Duration,
    pub session_key: Option<PathBuf>,
    pub holds: Duration,
    pub max_namespaces: usize,
}

#[derive(Clone, Debug)]
pub struct Oidc {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    /// With `openid`, separated by spaces.
    pub scopes: String,
    pub username_claim: String,
    pub username_prefix: String,
    pub groups_claim: String,
    pub groups_prefix: String,
}

impl Access {
    /// Nobody has to say who they are.
    pub fn is_open(&self) -> bool {
        self.audience.is_none() && self.oidc.is_none()
    }

    /// Browsers speak TLS with what is in front of the hub.
    pub fn is_behind_tls(&self) -> bool {
        self.origin.as_ref().is_some_and(|it| it.starts_with("https://"))
    }
}

pub(super) fn tls(raw: &raw::Hub) -> Result<Option<Tls>, Error> {
    match (file("hub.certificate", &raw.certificate)?, file("hub.key", &raw.key)?) {
        (Some(certificate), Some(key)) => Ok(Some(Tls { certificate, key, client_ca: None })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(wrong("hub.key", quoted(""), "the certificate's key")),
        (None, Some(_)) => Err(wrong("hub.certificate", quoted(""), "the key's certificate")),
    }
}

pub(super) fn access(raw: raw::Access, oidc: raw::Oidc) -> Result<Access, Error> {
    let minute = Duration::from_secs(60);
    let origin = match raw.url.as_str() {
        "" => None,
        text => Some(origin(text).ok_or_else(|| {
            let expected = "a URL without a path, such as \"https://amphipod.example.org\"";
            wrong("access.url", quoted(text), expected)
        })?),
    };
    let oidc = provider(oidc)?;
    if oidc.is_some() && origin.is_none() {
        let expected = "where people reach the hub: the provider sends them back there";
        return Err(wrong("access.url", quoted(""), expected));
    }
    Ok(Access {
        audience: raw.tokens.then_some(raw.audience),
        oidc,
        origin,
        session: span("access.session", &raw.session, minute..=30 * 24 * 60 * minute)?,
        session_key: file("access.session_key", &raw.session_key)?,
        holds: span("access.holds", &raw.holds, minute / 60..=60 * minute)?,
        max_namespaces: count("access.max_namespaces", raw.max_namespaces, 1..=1 << 16)? as usize,
    })
}

/// Without the slash at its end.
fn origin(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let scheme = uri.scheme_str().filter(|it| matches!(*it, "http" | "https"))?;
    let authority = uri.authority().filter(|it| !it.as_str().contains('@'))?;
    let plain = uri.path_and_query().is_none_or(|it| it.as_str() == "/");
    plain.then(|| format!("{scheme}://{authority}").to_ascii_lowercase())
}

fn provider(raw: raw::Oidc) -> Result<Option<Oidc>, Error> {
    if raw.issuer.is_empty() {
        return Ok(None);
    }
    if !is_safe(&raw.issuer) {
        let expected = "a URL that begins with https://, or http:// on this host";
        return Err(wrong("oidc.issuer", quoted(&raw.issuer), expected));
    }
    if raw.client_id.is_empty() {
        return Err(wrong("oidc.client_id", quoted(""), "the hub's name at the provider"));
    }
    if raw.username_claim.is_empty() {
        return Err(wrong(
            "oidc.username_claim",
            quoted(""),
            "a claim, such as \"email\" or \"sub\"",
        ));
    }
    let mut scopes = vec!["openid".to_owned()];
    scopes.extend(raw.scopes.into_iter().filter(|it| it != "openid"));
    Ok(Some(Oidc {
        client_secret: file("oidc.client_secret", &raw.client_secret)?,
        ca: file("oidc.ca", &raw.ca)?,
        issuer: raw.issuer,
        client_id: raw.client_id,
        scopes: scopes.join(" "),
        username_claim: raw.username_claim,
        username_prefix: raw.username_prefix,
        groups_claim: raw.groups_claim,
        groups_prefix: raw.groups_prefix,
    }))
}

/// Whether secrets may be sent there: over TLS, or without leaving this host.
pub fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn what_cannot_be_is_named() {
        let check = |text: &str, expected: &str| {
            let error = Config::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("configuration: {expected}")), "{text}: {error}");
        };
        check("[hub]\ncertificate = \"/c\"", "hub.key = \"\": expected the certificate's key");
        check("[access]\nurl = \"hub\"", "access.url = \"hub\": expected a URL");
        check("[access]\nurl = \"https://a/b\"", "access.url");
        check("[oidc]\nissuer = \"http://idp.example\"", "oidc.issuer");
        check("[oidc]\nissuer = \"https://idp\"", "oidc.client_id = \"\"");
        check(
            "[oidc]\nissuer = \"https://idp\"\nclient_id = \"a\"",
            "access.url = \"\": expected where people",
        );
        let text = "[access]\nurl = \"https://Hub.example/\"\n[oidc]\nissuer = \"https://idp\"\nclient_id = \"a\"";
        let access = Config::parse(text).unwrap().access;
        assert_eq!(access.origin.as_deref(), Some("https://hub.example"));
        assert_eq!(access.oidc.unwrap().scopes, "openid email groups");
        assert!(Config::parse("").unwrap().access.is_open());
        assert!(
            is_safe("http://127.0.0.1:9/x")
                && is_safe("http://[::1]/")
                && !is_safe("http://10.0.0.1/")
        );
    }
}
