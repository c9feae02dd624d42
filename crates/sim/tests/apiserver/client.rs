//! A client of the simulated API server that shares no code with it.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use sim::apiserver::{ADMIN_TOKEN, ApiServer};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub const JSON: &str = "application/json";
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

pub struct Client {
    address: String,
    tls: TlsConnector,
    pub token: String,
}

pub struct Reply {
    pub code: u16,
    pub content_type: String,
    pub body: Bytes,
}

pub struct Watch {
    body: Incoming,
    bytes: BytesMut,
    is_protobuf: bool,
    pub code: u16,
}

/// Type, and the object: as JSON, or as bytes of an enveloped message.
#[derive(Debug)]
pub struct Event {
    pub kind: String,
    pub object: Value,
    pub raw: Vec<u8>,
}

impl Client {
    pub fn new(server: &ApiServer) -> Self {
        Self::to(&server.url(), server)
    }

    pub fn to(url: &str, server: &ApiServer) -> Self {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(server.authority().as_bytes()).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            address: url.strip_prefix("https://").unwrap().to_owned(),
            tls: TlsConnector::from(Arc::new(config)),
            token: ADMIN_TOKEN.to_owned(),
        }
    }

    pub async fn try_send(
        &self,
        path: &str,
        accept: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Response<Incoming>, Box<dyn std::error::Error>> {
        let tcp = TcpStream::connect(&self.address).await?;
        let name = ServerName::try_from("127.0.0.1")?;
        let stream = self.tls.connect(name, tcp).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .uri(path)
            .header("host", &self.address)
            .header("accept", accept)
            .header("authorization", format!("Bearer {}", self.token));
        let mut content = Vec::new();
        if let Some((content_type, body)) = body {
            request = request.method("POST").header("content-type", content_type);
            content = body;
        }
        Ok(sender.send_request(request.body(Full::new(Bytes::from(content)))?).await?)
    }

    pub async fn get(&self, path: &str, accept: &str) -> Reply {
        Reply::read(self.try_send(path, accept, None).await.unwrap()).await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: Vec<u8>, accept: &str) -> Reply {
        let response = self.try_send(path, accept, Some((content_type, body))).await;
        Reply::read(response.unwrap()).await
    }

    pub async fn json(&self, path: &str) -> Value {
        self.get(path, JSON).await.json()
    }

    pub async fn watch(&self, path: &str, accept: &str) -> Watch {
        self.try_watch(path, accept).await.unwrap()
    }

    pub async fn try_watch(
        &self,
        path: &str,
        accept: &str,
    ) -> Result<Watch, Box<dyn std::error::Error>> {
        let response = self.try_send(path, accept, None).await?;
        Ok(Watch {
            code: response.status().as_u16(),
            body: response.into_body(),
            bytes: BytesMut::new(),
            is_protobuf: accept.starts_with(PROTOBUF),
        })
    }
}

impl Reply {
    async fn read(response: Response<Incoming>) -> Self {
        Self {
            code: response.status().as_u16(),
            content_type: response.headers()["content-type"].to_str().unwrap().to_owned(),
            body: response.into_body().collect().await.unwrap().to_bytes(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Watch {
    /// None: the watch has ended in order. An error if it broke.
    pub async fn try_next(&mut self) -> Option<Result<Event, hyper::Error>> {
        loop {
            if let Some(event) = self.take() {
                return Some(Ok(event));
            }
            match self.body.frame().await? {
                Ok(frame) => self.bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    pub async fn next(&mut self) -> Event {
        self.try_next().await.expect("the watch has ended").expect("the watch broke")
    }

    /// Type, name and version of the next event.
    pub async fn brief(&mut self) -> (String, String, u64) {
        let event = self.next().await;
        let metadata = &event.object["metadata"];
        let version = metadata["resourceVersion"].as_str().unwrap_or("0").parse().unwrap();
        (event.kind, metadata["name"].as_str().unwrap_or_default().to_owned(), version)
    }

    fn take(&mut self) -> Option<Event> {
        if self.is_protobuf {
            let length = u32::from_be_bytes(*self.bytes.first_chunk()?) as usize;
            let frame = self.bytes.get(4..4 + length)?;
            let event = <super::wire::WatchEvent as prost::Message>::decode(frame).unwrap();
            self.bytes.advance(4 + length);
            let raw = event.object.unwrap().raw;
            return Some(Event { kind: event.kind, object: Value::Null, raw });
        }
        let end = self.bytes.iter().position(|&byte| byte == b'\n')?;
        let line = self.bytes.split_to(end + 1);
        let mut event: Value = serde_json::from_slice(&line).unwrap();
        let kind = event["type"].as_str().unwrap().to_owned();
        Some(Event { kind, object: event["object"].take(), raw: Vec::new() })
    }
}
