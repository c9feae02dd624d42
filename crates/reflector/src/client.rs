//! Requests to the API server.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube_client::Config;
use kube_client::client::ConfigExt;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, ServiceExt};

use crate::access::chain;
use crate::resolve::Resolver;
use crate::{Access, Error};

type Service = BoxCloneSyncService<Request<Full<Bytes>>, Response<Incoming>, BoxError>;

/// After this a new try comes sooner than the kernel's next one.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// A connection whose other end is gone without a word is noticed within 2 s, idle or not. After a short outage TCP may wait
/// for as long as that lasted before it tries again; a new connection does not.
const KEEPALIVE: (Duration, u32) = (Duration::from_secs(1), 2);
const UNACKNOWLEDGED: Duration = Duration::from_secs(2);
/// What one connection may have read ahead.
const BUFFER_BYTES: usize = 64 << 10;

const NAME: &str = concat!("amphipod/", env!("CARGO_PKG_VERSION"));

/// One API server. Clones share its idle connections.
#[derive(Clone)]
pub struct Client {
    access: Arc<Access>,
    service: Arc<ArcSwap<(Service, String)>>,
}

impl Client {
    /// Reads the configuration, and may run the program that it names for credentials. Does not connect.
    pub async fn new(access: Access) -> Result<Self, Error> {
        let service = connect(access.config().await?).await?;
        Ok(Self { access: Arc::new(access), service: Arc::new(ArcSwap::from_pointee(service)) })
    }

    /// The API server's URL.
    pub fn server(&self) -> String {
        self.service.load().1.clone()
    }

    /// Reads the configuration and its credentials anew, for when they are no longer accepted.
    pub(crate) async fn reload(&self) -> Result<(), Error> {
        let service = connect(self.access.config().await?).await?;
        self.service.store(Arc::new(service));
        Ok(())
    }

    /// The answer to a GET, once its headers are there.
    pub(crate) async fn get(&self, path: &str, accept: &str) -> Result<Response<Incoming>, Error> {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Full::default());
        self.ask(request).await
    }

    /// The answer to a POST of JSON, once its headers are there.
    pub(crate) async fn post(&self, path: &str, body: String) -> Result<Response<Incoming>, Error> {
        let json = "application/json";
        let request = Request::post(path)
            .header(header::ACCEPT, json)
            .header(header::CONTENT_TYPE, json)
            .body(Full::from(body));
        self.ask(request).await
    }

    async fn ask(
        &self,
        request: http::Result<Request<Full<Bytes>>>,
    ) -> Result<Response<Incoming>, Error> {
        let (service, server) = (**self.service.load()).clone();
        let unreachable = |reason: String| Error::Unreachable { server: server.clone(), reason };
        let mut request = request.map_err(|error| unreachable(chain(&error)))?;
        request.headers_mut().insert(header::USER_AGENT, http::HeaderValue::from_static(NAME));
        service.oneshot(request).await.map_err(|error| unreachable(chain(&*error)))
    }
}

/// Runs what the configuration names for credentials where it may block.
async fn connect(config: Config) -> Result<(Service, String), Error> {
    let server = config.cluster_url.to_string();
    let failed = |reason: String| Error::Credentials { server: server.clone(), reason };
    let built = tokio::task::spawn_blocking(move || service(&config).map_err(|e| chain(&e))).await;
    match built {
        Ok(Ok(service)) => Ok((service, server)),
        Ok(Err(reason)) => Err(failed(reason)),
        Err(error) => Err(failed(chain(&error))),
    }
}

fn service(config: &Config) -> Result<Service, kube_client::Error> {
    if let Some(proxy) = &config.proxy_url {
        return Err(kube_client::Error::ProxyProtocolUnsupported {
            proxy_url: proxy.clone().into(),
        });
    }
    let mut connector = HttpConnector::new_with_resolver(Resolver::default());
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_WITHIN));
    connector.set_keepalive(Some(KEEPALIVE.0));
    connector.set_keepalive_interval(Some(KEEPALIVE.0));
    connector.set_keepalive_retries(Some(KEEPALIVE.1));
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let client: hyper_util::client::legacy::Client<_, Full<Bytes>> =
        hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .http1_max_buf_size(BUFFER_BYTES)
            .pool_max_idle_per_host(2)
            .build(connector);
    let client = config.base_uri_layer().layer(client.map_err(BoxError::from));
    let headers = config.extra_headers_layer()?;
    Ok(match config.auth_layer()? {
        Some(auth) => BoxCloneSyncService::new(headers.layer(auth.layer(client))),
        None => BoxCloneSyncService::new(headers.layer(client)),
    })
}
