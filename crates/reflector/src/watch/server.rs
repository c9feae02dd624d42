//! An API server that answers one request after the other as the test says, then no more.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, header};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{Access, Client};

pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf;stream=watch";

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub kind: &'static str,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Steps,
}

#[derive(Clone, Debug, Default)]
pub struct Steps(VecDeque<Step>);

#[derive(Clone, Debug)]
enum Step {
    Bytes(Vec<u8>),
    Hang,
    Flush,
    Abort,
}

/// A body in protobuf that ends after these pieces.
pub fn reply(pieces: impl IntoIterator<Item = Vec<u8>>) -> Reply {
    let body = Steps(pieces.into_iter().map(Step::Bytes).collect());
    Reply { status: 200, kind: PROTOBUF, headers: Vec::new(), body }
}

pub fn json(text: impl Into<Vec<u8>>) -> Reply {
    Reply { kind: "application/json", ..reply([text.into()]) }
}

impl Reply {
    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Stays open after what it has said.
    pub fn hang(mut self) -> Self {
        self.body.0.push_back(Step::Hang);
        self
    }

    /// Breaks the connection after what it has said.
    pub fn abort(mut self) -> Self {
        self.body.0.extend([Step::Flush, Step::Flush, Step::Abort]);
        self
    }
}

impl hyper::body::Body for Steps {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.0.pop_front() {
            Some(Step::Bytes(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes.into())))),
            Some(Step::Hang) => {
                self.0.push_front(Step::Hang);
                Poll::Pending
            }
            // Lets hyper send what came before.
            Some(Step::Flush) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Abort) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            None => Poll::Ready(None),
        }
    }
}

pub struct Server {
    pub client: Client,
    /// Path and query, what was accepted, and who asked.
    pub asked: UnboundedReceiver<(String, String, String)>,
    pub folder: TempDir,
    pub address: SocketAddr,
}

/// Writes a kubeconfig with this token.
pub fn configure(folder: &TempDir, address: SocketAddr, token: &str) -> Access {
    let path = folder.path().join("config");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
         users: [{{name: u, user: {{token: {token}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: c, user: u}}}}]\n"
    );
    std::fs::write(&path, text).unwrap();
    Access { kubeconfig: Some(path), context: None }
}

impl Server {
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Arc<Mutex<VecDeque<Reply>>> =
            Arc::new(Mutex::new(replies.into_iter().collect()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (replies, tell) = (replies.clone(), tell.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (replies, tell) = (replies.clone(), tell.clone());
                    async move {
                        let text = |name| {
                            let value = request.headers().get(name);
                            value.map_or(String::new(), |v| v.to_str().unwrap().to_owned())
                        };
                        let path = request.uri().to_string();
                        let asked = (path, text(header::ACCEPT), text(header::AUTHORIZATION));
                        let _ = tell.send(asked);
                        let reply = replies.lock().unwrap().pop_front();
                        let Some(reply) = reply else { return std::future::pending().await };
                        let mut response = Response::builder()
                            .status(reply.status)
                            .header(header::CONTENT_TYPE, reply.kind);
                        for (name, value) in reply.headers {
                            response = response.header(name, value);
                        }
                        Ok::<_, Infallible>(response.body(reply.body).unwrap())
                    }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let client = Client::new(configure(&folder, address, "secret")).await.unwrap();
        Self { client, asked, folder, address }
    }
}
