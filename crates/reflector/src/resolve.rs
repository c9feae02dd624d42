//! Addresses of an API server that is known by name. A static executable must not ask glibc.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::OnceCell;
use tower::Service;

/// Reads the system's configuration when it is first asked.
#[derive(Clone, Default)]
pub struct Resolve(Arc<OnceCell<TokioResolver>>);

impl Service<Name> for Resolve {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = NetError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.0.clone();
        Box::pin(async move {
            let resolver =
                resolver.get_or_try_init(async || TokioResolver::builder_tokio()?.build()).await?;
            let found = resolver.lookup_ip(name.as_str()).await?;
            // The connector puts the port in.
            let addresses: Vec<_> = found.iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(addresses.into_iter())
        })
    }
}
