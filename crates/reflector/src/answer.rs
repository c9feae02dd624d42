//! What the API server answers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::access::chain;
use crate::body::Format;
use crate::refusal::{Refusal, line};
use crate::request::Ask;
use crate::{Client, Counters, Error, Resource, json, protobuf};

/// Of a refusal, what is read of it.
const REFUSAL_BYTES: usize = 64 << 10;

/// An answer whose body is still to come.
pub struct Answer {
    pub format: Format,
    body: Incoming,
    resource: Resource,
    verb: &'static str,
}

pub enum Unanswered {
    /// The format that was asked for is not to be had.
    Format,
    Failed(Error),
}

impl Answer {
    pub async fn to(
        client: &Client,
        ask: &Ask,
        resource: Resource,
        selector: Option<&str>,
        format: Format,
        within: Duration,
    ) -> Result<Self, Unanswered> {
        let (path, accept) = (ask.path(resource, selector), ask.accept(resource, format));
        let verb = ask.verb();
        let response = timeout(within, client.get(&path, &accept)).await.map_err(|_| {
            let server = client.server();
            Unanswered::Failed(Error::Timeout { server, resource, verb, after: within })
        })?;
        let response = response.map_err(Unanswered::Failed)?;
        let status = response.status();
        if matches!(status.as_u16(), 406 | 415) && format == Format::Protobuf {
            return Err(Unanswered::Format);
        }
        let format = written_in(response.headers());
        if status.is_success() {
            return Ok(Self { format, body: response.into_body(), resource, verb });
        }
        let refusal = timeout(within, refusal(response, format)).await.unwrap_or_default();
        let refusal = Refusal { code: status.as_u16(), ..refusal };
        Err(Unanswered::Failed(refused(refusal, resource, verb)))
    }

    /// The next piece of the body; none at its end.
    pub async fn chunk(
        &mut self,
        within: Duration,
        counters: &Counters,
    ) -> Result<Option<Bytes>, Error> {
        let (resource, verb) = (self.resource, self.verb);
        loop {
            let frame = timeout(within, self.body.frame()).await;
            let frame = frame.map_err(|_| Error::Silent { resource, after: within })?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| {
                let reason = chain(&error);
                Error::Interrupted { resource, verb, reason }
            })?;
            if let Ok(data) = frame.into_data() {
                counters.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
                return Ok(Some(data));
            }
        }
    }
}

fn written_in(headers: &HeaderMap) -> Format {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    match kind.starts_with(b"application/vnd.kubernetes.protobuf") {
        true => Format::Protobuf,
        false => Format::Json,
    }
}

async fn refusal(response: Response<Incoming>, format: Format) -> Refusal {
    let after = response.headers().get(header::RETRY_AFTER);
    let after: Option<u64> = after.and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        text.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
        if text.len() > REFUSAL_BYTES {
            break;
        }
    }
    let read = match format {
        Format::Protobuf => protobuf::envelope(&text).and_then(protobuf::status),
        Format::Json => json::status(&text),
    };
    let mut refusal = read.unwrap_or_else(|_| Refusal { message: line(&text), ..<_>::default() });
    refusal.retry_after_s = refusal.retry_after_s.max(after.unwrap_or(0));
    refusal
}

/// The error that a `Status` stands for.
pub fn refused(refusal: Refusal, resource: Resource, verb: &'static str) -> Error {
    let expired = refusal.expired();
    let Refusal { code, reason, message, retry_after_s, .. } = refusal;
    let reason = if message.is_empty() { reason } else { message };
    match code {
        _ if expired => Error::Expired { resource, verb, reason },
        401 => Error::Unauthorized { resource, verb, reason },
        403 => Error::Forbidden { resource, verb, reason },
        404 => Error::Unknown { resource, reason },
        _ => {
            let retry_after = (retry_after_s > 0).then(|| Duration::from_secs(retry_after_s));
            Error::Refused { resource, verb, code, reason, retry_after }
        }
    }
}
