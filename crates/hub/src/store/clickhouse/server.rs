//! The server's HTTP interface.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;

use axum::http::{HeaderValue, Method, Request, header};
use bytes::Bytes;
use daemon::http::{Fetch, Speech};
use daemon::tls;
use http_body_util::Full;
use reflector::Resolver;
use tokio::runtime::Handle;

use crate::config;

/// Of one answer: some hundred thousand edges.
const ANSWER_BYTES: usize = 256 << 20;
/// Answers are whole or an error; what is inserted is there when it is acknowledged.
const SETTINGS: &str = "wait_end_of_query=1&async_insert=0";

pub struct Server {
    config: config::ClickHouse,
    fetch: Fetch,
    runtime: Handle,
}

impl Server {
    /// # Errors
    /// The file of authorities cannot be used.
    pub fn new(config: config::ClickHouse, runtime: Handle) -> Result<Self, tls::Error> {
        let resolve = Resolver::default().function();
        let fetch = Fetch::new(config.ca.as_deref(), None, Speech::Http1, resolve)?;
        let fetch = fetch.with_limits(config.timeout, ANSWER_BYTES);
        Ok(Self { config, fetch, runtime })
    }

    pub fn url(&self) -> &str {
        &self.config.url
    }

    /// What follows the file of authorities.
    pub fn tls(&self) -> Option<&tls::Client> {
        self.fetch.tls()
    }

    /// Blocks until there is an answer.
    ///
    /// # Errors
    /// There is none, or it is a refusal: on one line.
    pub fn ask(&self, query: impl Into<Bytes>) -> Result<Bytes, String> {
        self.send(&format!("/?{SETTINGS}"), query.into())
    }

    /// # Errors
    /// As [`Self::ask`]: whether it was inserted is not known.
    pub fn insert(&self, query: &str, rows: Vec<u8>) -> Result<(), String> {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        self.send(&format!("/?{SETTINGS}&query={query}"), rows.into()).map(drop)
    }

    fn send(&self, path: &str, body: Bytes) -> Result<Bytes, String> {
        let config = &self.config;
        let header = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", config.url))
            .header(header::CONTENT_LENGTH, body.len())
            .header("X-ClickHouse-Database", header(&config.database)?)
            .header("X-ClickHouse-User", header(&config.user)?);
        if let Some(path) = &config.password {
            let mut password = header(&secret(path)?)?;
            password.set_sensitive(true);
            request = request.header("X-ClickHouse-Key", password);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let (fetch, (told, answer)) = (self.fetch.clone(), sync_channel(1));
        // Not block_on: whoever opens a store may be within a runtime.
        self.runtime.spawn(async move {
            let _ = told.send(fetch.send(request).await);
        });
        let answer = answer.recv().map_err(|_| "the hub stops".to_owned())??;
        match answer.status.is_success()
            && !answer.headers.contains_key("X-ClickHouse-Exception-Code")
        {
            true => Ok(answer.body),
            false => Err(answer.refusal()),
        }
    }
}

/// Read each time: it may have been changed.
fn secret(path: &PathBuf) -> Result<String, String> {
    let read = std::fs::read_to_string(path);
    let text = read.map_err(|error| format!("clickhouse.password: {}: {error}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
