//! The server: where it listens, and the handle by which tests and tools hold it.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::access::{User, Users};
use super::error::Error;
use super::fault::{Fault, Faults, Versions};
use super::hostile;
use super::identity::Identity;
use super::line::Gate;
use super::listener::{Listener, Restart};
use super::object::{Object, Shared};
use super::requests::{Request, Requests};
use super::resource::Resource;
use super::service::{Role, Server, Settings};
use super::store::Store;

/// How the server shall be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0: any that is free.
    pub listen: SocketAddr,
    /// Who may do something, beside the administrator whose kubeconfig [`ApiServer::kubeconfig`] gives.
    pub users: Vec<User>,
    /// Changes of each resource that are remembered: who is further behind gets 410.
    pub history: usize,
    pub bookmark_interval: Duration,
    /// How long a watch lasts that names no time.
    pub watch_timeout: Duration,
    /// Changes that a watcher may be behind before it is cut off.
    pub watch_buffer: usize,
    /// Threads that serve.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            users: Vec::new(),
            history: 10_000,
            bookmark_interval: Duration::from_secs(60),
            watch_timeout: Duration::from_secs(1800),
            watch_buffer: 1000,
            threads: 1,
        }
    }
}

/// Restarts that may be waiting for each other.
const RESTARTS: usize = 16;

/// Token of the administrator.
pub const ADMIN_TOKEN: &str = "simulated-administrator";

/// A simulated API server that runs. Clones are the same server; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct ApiServer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    server: Arc<Server>,
    identity: Identity,
    address: SocketAddr,
    gate: Arc<Gate>,
    restarts: mpsc::Sender<Restart>,
    end: CancellationToken,
    runtime: Option<Runtime>,
}

impl ApiServer {
    /// Listens when this returns.
    ///
    /// # Errors
    /// It cannot listen there, or make a certificate or threads.
    pub fn start(options: Options) -> Result<Self, Error> {
        let mut users = options.users.clone();
        users.push(User::admin(ADMIN_TOKEN));
        let server = Arc::new(Server {
            store: Store::new(options.history),
            users: Users::new(users),
            faults: Faults::default(),
            requests: Arc::new(Requests::default()),
            settings: Settings {
                bookmark_interval: options.bookmark_interval,
                watch_timeout: options.watch_timeout,
                watch_buffer: options.watch_buffer,
            },
        });
        let identity = Identity::new(&options.listen.ip().to_string())?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("sim-apiserver")
            .enable_all()
            .build()
            .map_err(Error::Start)?;
        let (socket, address) = bind(options.listen)?;
        let gate = Arc::new(Gate::default());
        let end = CancellationToken::new();
        let (restarts, asked) = mpsc::channel(RESTARTS);
        let listener = Listener {
            server: Arc::clone(&server),
            role: Role::ApiServer { address: address.to_string() },
            tls: Arc::clone(&identity.tls),
            address,
            gate: Arc::clone(&gate),
            end: end.clone(),
        };
        runtime.spawn(listener.run(socket, asked));
        let runtime = Some(runtime);
        let inner = Inner { server, identity, address, gate, restarts, end, runtime };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// `https://ADDRESS:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.inner.address)
    }

    /// The administrator's, as YAML.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_for(ADMIN_TOKEN)
    }

    pub fn kubeconfig_for(&self, token: &str) -> String {
        self.inner.identity.kubeconfig(&self.url(), token)
    }

    /// PEM of the authority behind the server's certificate.
    pub fn authority(&self) -> &str {
        &self.inner.identity.authority
    }

    /// Adds somebody with a token; replaces who has the same token.
    pub fn add_user(&self, user: User) {
        self.inner.server.users.add(user);
    }

    pub fn revoke(&self, token: &str) {
        self.inner.server.users.revoke(token);
    }

    /// Creates or replaces an object, given as JSON with its `kind`. Its `resourceVersion` is the server's to give.
    ///
    /// # Errors
    /// Of a kind that is not served, or with members that such an object does not have.
    pub fn apply(&self, object: &Value) -> Result<Arc<Object>, Error> {
        let kind = object["kind"].as_str().unwrap_or_default();
        let resource = Resource::of_kind(kind).ok_or_else(|| Error::Kind(kind.to_owned()))?;
        self.apply_shared(resource, object, &Arc::new(Shared::default()))
    }

    /// The same for an object that has parts in common with others, which `object` does not repeat.
    ///
    /// # Errors
    /// Members that such an object does not have.
    pub fn apply_shared(
        &self,
        resource: Resource,
        object: &Value,
        shared: &Arc<Shared>,
    ) -> Result<Arc<Object>, Error> {
        let refused = |source| Error::Object {
            kind: resource.kind(),
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            source: Box::new(source),
        };
        let object = Object::new(resource, object, Arc::clone(shared)).map_err(refused)?;
        Ok(self.inner.server.store.put(object))
    }

    /// Returns what was there. `namespace`: empty for what belongs to none.
    pub fn delete(&self, resource: Resource, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.inner.server.store.delete(resource, namespace, name)
    }

    pub fn get(&self, resource: Resource, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.inner.server.store.get(resource, namespace, name)
    }

    /// The truth: all objects as they are now, by namespace and name.
    pub fn objects(&self, resource: Resource) -> Vec<Arc<Object>> {
        self.inner.server.store.list(resource).1.values().cloned().collect()
    }

    /// The last version that was given.
    pub fn version(&self) -> u64 {
        self.inner.server.store.version()
    }

    /// What was asked since the start or since [`ApiServer::forget_requests`].
    pub fn requests(&self) -> Vec<Request> {
        self.inner.server.requests.all()
    }

    pub fn forget_requests(&self) {
        self.inner.server.requests.clear();
    }

    /// Lets something go wrong. Returns at once; what takes time goes on by itself.
    pub fn fault(&self, fault: Fault) {
        if self.inner.server.faults.set(fault) {
            return;
        }
        match fault {
            Fault::Compact => self.inner.server.store.compact(),
            Fault::Restart { down, versions } => self.restart(1, down, versions),
            Fault::Flap { times, every } => self.restart(times, every, Versions::Continue),
            Fault::Partition(time) => self.partition(time),
            Fault::Hostile(which) => {
                for object in hostile::objects(which) {
                    if let Err(error) = self.apply(&object) {
                        tracing::error!(%error, "a hostile object was not put");
                    }
                }
            }
            _ => {}
        }
    }

    /// So many times, with as much time up as down.
    fn restart(&self, times: u32, down: Duration, versions: Versions) {
        let restarts = self.inner.restarts.clone();
        if let Some(runtime) = &self.inner.runtime {
            runtime.spawn(async move {
                for _ in 0..times {
                    // There is no receiver only when the server has ended.
                    let _ = restarts.send(Restart { down, versions }).await;
                    tokio::time::sleep(2 * down).await;
                }
            });
        }
    }

    fn partition(&self, time: Duration) {
        let gate = Arc::clone(&self.inner.gate);
        gate.close();
        if let Some(runtime) = &self.inner.runtime {
            runtime.spawn(async move {
                tokio::time::sleep(time).await;
                gate.open();
            });
        }
    }

    /// The kubelet of `node`: answers `/pods`, by the same tokens and certificate. Returns its URL. It ends with the server.
    ///
    /// # Errors
    /// It cannot listen.
    pub fn kubelet(&self, node: &str) -> Result<String, Error> {
        let (socket, address) = bind(SocketAddr::new(self.inner.address.ip(), 0))?;
        let (_, never) = mpsc::channel(1);
        let listener = Listener {
            server: Arc::clone(&self.inner.server),
            role: Role::Kubelet { node: node.to_owned() },
            tls: Arc::clone(&self.inner.identity.tls),
            address,
            gate: Arc::default(),
            end: self.inner.end.clone(),
        };
        if let Some(runtime) = &self.inner.runtime {
            runtime.spawn(listener.run(socket, never));
        }
        Ok(format!("https://{address}"))
    }
}

fn bind(address: SocketAddr) -> Result<(StdListener, SocketAddr), Error> {
    let refused = |source| Error::Listen { address, source };
    let socket = StdListener::bind(address).map_err(refused)?;
    socket.set_nonblocking(true).map_err(refused)?;
    let address = socket.local_addr().map_err(refused)?;
    Ok((socket, address))
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end.cancel();
        self.gate.open();
        if let Some(runtime) = self.runtime.take() {
            // Without waiting, so that it may be dropped within another runtime.
            runtime.shutdown_background();
        }
    }
}
