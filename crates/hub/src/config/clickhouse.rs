//! A ClickHouse server for history.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use daemon::config::{Error, file, quoted, span, wrong};

use super::raw;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickHouse {
    /// Scheme, host and port: nothing behind.
    pub url: String,
    pub database: String,
    pub user: String,
    pub password: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    pub timeout: Duration,
}

/// `None`: none is used.
pub(super) fn check(raw: raw::ClickHouse) -> Result<Option<ClickHouse>, Error> {
    const URL: &str = "clickhouse.url";
    if raw.url.is_empty() {
        return Ok(None);
    }
    let expected = "the URL of a server's HTTP interface without user, password and path, such as \"http://127.0.0.1:8123\"";
    // A password must not get into a log.
    let shown = if raw.url.contains('@') { "..." } else { &raw.url };
    let url = url(&raw.url).ok_or_else(|| wrong(URL, quoted(shown), expected))?;
    let word = |it: char| it.is_ascii_alphanumeric() || it == '_';
    if raw.database.is_empty() || !raw.database.chars().all(word) {
        let expected = "a name of letters, digits and _";
        return Err(wrong("clickhouse.database", quoted(&raw.database), expected));
    }
    if raw.user.is_empty() || !raw.user.chars().all(|it| it.is_ascii_graphic()) {
        return Err(wrong("clickhouse.user", quoted(&raw.user), "a user's name"));
    }
    let second = Duration::from_secs(1);
    Ok(Some(ClickHouse {
        url,
        database: raw.database,
        user: raw.user,
        password: file("clickhouse.password", &raw.password)?,
        ca: file("clickhouse.ca", &raw.ca)?,
        timeout: span("clickhouse.timeout", &raw.timeout, second..=600 * second)?,
    }))
}

fn url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, usual) = match uri.scheme_str()? {
        "https" => ("https", 8443),
        "http" => ("http", 8123),
        _ => return None,
    };
    let plain = uri.path_and_query().is_none_or(|it| it.as_str() == "/") && !text.contains('@');
    let host = uri.host().filter(|host| !host.is_empty() && plain)?;
    Some(format!("{scheme}://{host}:{}", uri.port_u16().unwrap_or(usual)))
}
