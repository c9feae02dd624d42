//! A parcel as a request.

use std::path::Path;

use axum::http::request::Builder;
use axum::http::{HeaderName, HeaderValue, Request, header};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::Full;
use tokio::io::AsyncReadExt;

use super::config::{Protocol, Target, header as parse};
use super::parcel::Parcel;

/// Of a file with headers.
const MOST_HEADER_BYTES: u64 = 64 << 10;

/// # Errors
/// The file with headers cannot be used; on one line.
pub async fn request(target: &Target, parcel: &Parcel) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::post(target.uri.clone());
    let secrets = match &target.headers_file {
        Some(path) => read(path).await.map_err(|error| format!("{}: {error}", path.display()))?,
        None => Vec::new(),
    };
    for (name, value) in target.headers.iter().cloned().chain(secrets) {
        request = request.header(name, value);
    }
    let (request, body) = match target.protocol {
        Protocol::OtlpGrpc => grpc(request, &parcel.body),
        Protocol::OtlpHttp => {
            let request = request
                .header(header::CONTENT_TYPE, "application/x-protobuf")
                .header(header::CONTENT_ENCODING, "gzip");
            (request, parcel.body.clone())
        }
        Protocol::RemoteWrite => {
            let request = request
                .header(header::CONTENT_TYPE, "application/x-protobuf")
                .header(header::CONTENT_ENCODING, "snappy")
                .header("x-prometheus-remote-write-version", "0.1.0");
            (request, parcel.body.clone())
        }
    };
    request.body(Full::new(body)).map_err(|error| error.to_string())
}

/// One message: that it is compressed, its length, and itself.
fn grpc(request: Builder, message: &Bytes) -> (Builder, Bytes) {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(1);
    // A parcel is a megabyte at most.
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    let request = request
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header("grpc-encoding", "gzip");
    (request, frame.freeze())
}

/// Read for each request: tokens are replaced before they expire.
async fn read(path: &Path) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let file = tokio::fs::File::open(path).await.map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(MOST_HEADER_BYTES).read_to_string(&mut text).await;
    read.map_err(|error| error.to_string())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    // Not the line itself: it may be a secret.
    let wrong =
        |number| format!("line {} is no header, such as \"authorization: Bearer ...\"", number + 1);
    lines.map(|(number, line)| parse(line).ok_or_else(|| wrong(number))).collect()
}
