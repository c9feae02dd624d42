//! Addresses of a server that is known by name. A static executable must not ask glibc.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::OnceCell;
use tower::Service;

/// Reads the system's configuration when it is first asked. Clones share what they have learned.
#[derive(Clone, Default)]
pub struct Resolver(Arc<OnceCell<TokioResolver>>);

/// [`Resolver::addresses`].
pub type Function = Arc<dyn Fn(String) -> Found + Send + Sync>;
type Found = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>>;

impl Resolver {
    /// All that the name has; of IPv4 if it has any.
    ///
    /// # Errors
    /// There is no such name, or nobody to be asked. On one line.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let found = self.lookup(host).await;
        found.map_err(|error| crate::access::chain(&error))
    }

    /// The same as a function, for who needs to know no more.
    pub fn function(self) -> Function {
        Arc::new(move |host| {
            let resolver = self.clone();
            Box::pin(async move { resolver.addresses(&host).await })
        })
    }

    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, NetError> {
        let make = async || TokioResolver::builder_tokio()?.build();
        let found = self.0.get_or_try_init(make).await?.lookup_ip(host).await?;
        Ok(found.iter().collect())
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = NetError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.lookup(name.as_str()).await?;
            // The connector puts the port in.
            let addresses: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(addresses.into_iter())
        })
    }
}
