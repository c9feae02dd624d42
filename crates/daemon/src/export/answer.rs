//! What an answer means.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Buf, Bytes};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::config::Protocol;
use crate::http::Answer;

/// The path of OTLP's call for metrics.
pub const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
/// However long the receiver asks to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `rejected` of the samples were left out, for `reason`; both may be nothing.
    Accepted { rejected: u64, reason: String },
    /// Not to be sent again.
    Refused { reason: String },
    /// To be sent again; not before `after`, if it is given.
    Later { reason: String, after: Option<Duration> },
}

pub fn verdict(protocol: Protocol, answer: &Answer) -> Verdict {
    match protocol {
        Protocol::OtlpGrpc => grpc(answer),
        Protocol::OtlpHttp => {
            // A 500 is not to be sent again, by OTLP's rules.
            let again = matches!(answer.status.as_u16(), 429 | 502 | 503 | 504);
            http(answer, again, || partial(answer.body.clone()))
        }
        Protocol::RemoteWrite => {
            let again =
                answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS;
            http(answer, again, accepted)
        }
    }
}

fn accepted() -> Verdict {
    Verdict::Accepted { rejected: 0, reason: String::new() }
}

fn http(answer: &Answer, again: bool, success: impl FnOnce() -> Verdict) -> Verdict {
    match answer.status.is_success() {
        true => success(),
        false if again => Verdict::Later {
            reason: answer.refusal(),
            after: retry_after(&answer.headers, SystemTime::now()),
        },
        false => Verdict::Refused { reason: answer.refusal() },
    }
}

/// `body`: what a receiver that took the request says of parts of it. One that says something else took it all the same.
fn partial(body: Bytes) -> Verdict {
    let said = ExportMetricsServiceResponse::decode(body).unwrap_or_default();
    let Some(partial) = said.partial_success else { return accepted() };
    Verdict::Accepted {
        rejected: partial.rejected_data_points.try_into().unwrap_or(0),
        reason: model::text::printable(partial.error_message.as_bytes()).to_string(),
    }
}

fn grpc(answer: &Answer) -> Verdict {
    let Some(status) = Status::from_header_map(&answer.headers) else {
        let again = matches!(answer.status.as_u16(), 200 | 429 | 502 | 503 | 504);
        let reason = format!("{}, without a gRPC status", answer.status);
        return match again {
            true => Verdict::Later { reason, after: None },
            false => Verdict::Refused { reason },
        };
    };
    if status.code() == Code::Ok {
        let mut message = answer.body.clone();
        // One message: whether it is compressed, which was not offered, its length, and itself.
        message.advance(5.min(message.len()));
        return partial(message);
    }
    let after = status.get_details_retry_info().and_then(|it| it.retry_delay);
    let text = model::text::printable(status.message().as_bytes());
    let reason = format!("{:?}: {text}", status.code());
    let again = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        // Of a limit that will not go away, unless it is told when it does.
        Code::ResourceExhausted => after.is_some(),
        _ => false,
    };
    match again {
        true => Verdict::Later { reason, after: after.map(|it| it.min(LONGEST_WAIT)) },
        false => Verdict::Refused { reason },
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Answer {
        let headers = headers.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), value.parse().expect("a value"))
        });
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers.collect(),
            body: Bytes::copy_from_slice(body),
        }
    }

    fn check(protocol: Protocol, status: u16, headers: &[(&'static str, &str)], expected: &str) {
        let found = match verdict(protocol, &answer(status, headers, b"why")) {
            Verdict::Accepted { .. } => "accepted".to_owned(),
            Verdict::Refused { .. } => "refused".to_owned(),
            Verdict::Later { after: None, .. } => "later".to_owned(),
            Verdict::Later { after: Some(after), .. } => format!("after {}", after.as_secs()),
        };
        assert_eq!(found, expected, "{protocol:?} {status} {headers:?}");
    }

    #[test]
    fn only_what_may_pass_is_sent_again() {
        use Protocol::{OtlpGrpc, OtlpHttp, RemoteWrite};
        for (status, otlp, write) in [
            (200, "accepted", "accepted"),
            (204, "accepted", "accepted"),
            (301, "refused", "refused"),
            (400, "refused", "refused"),
            (401, "refused", "refused"),
            (413, "refused", "refused"),
            (429, "later", "later"),
            (500, "refused", "later"),
            (502, "later", "later"),
            (503, "later", "later"),
            (504, "later", "later"),
        ] {
            check(OtlpHttp, status, &[], otlp);
            check(RemoteWrite, status, &[], write);
        }
        for (code, expected) in [
            ("0", "accepted"),
            ("1", "later"),
            ("3", "refused"),
            ("4", "later"),
            ("8", "refused"),
            ("12", "refused"),
            ("14", "later"),
            ("16", "refused"),
        ] {
            check(OtlpGrpc, 200, &[("grpc-status", code)], expected);
        }
        check(OtlpGrpc, 502, &[], "later");
        check(OtlpGrpc, 404, &[], "refused");
    }

    #[test]
    fn a_receiver_says_when_to_come_again() {
        use Protocol::{OtlpHttp, RemoteWrite};
        check(OtlpHttp, 503, &[("retry-after", "7")], "after 7");
        check(RemoteWrite, 429, &[("retry-after", "86400")], "after 600");
        check(RemoteWrite, 429, &[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")], "after 0");
        check(RemoteWrite, 429, &[("retry-after", "soon")], "later");
        let headers = answer(429, &[("retry-after", "Thu, 01 Jan 1970 00:01:30 GMT")], b"").headers;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(60);
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(30)));
    }
}
