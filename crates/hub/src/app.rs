//! Wires everything, top to bottom.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use daemon::export::{Exports, Origin};
use daemon::http::{Fetch, Secure, serve};
use daemon::tls::{self, Clients, Files};
use daemon::{Backoff, Policy, Supervisor};
use reflector::Resolver;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::access::Access;
use crate::api::{MetricsView, Sources, router};
use crate::hubble::{self, Hubble};
use crate::ingest::{self, Ingest, flush_regularly};
use crate::kube::{self, Watches};
use crate::observe::Observers;
use crate::query::Query;
use crate::replica::{self, Replicas};
use crate::store::{Catalogue, ClickHouse, Memory, Sqlite, Store};
use crate::stream::{Agents, Reviewer, listen};
use crate::{Config, Error, Inventory, config};

/// A running hub. Dropping it without [`App::shutdown`] stops it, too, without waiting.
pub struct App {
    config: Config,
    http: Option<SocketAddr>,
    agents: SocketAddr,
    hubble: Option<SocketAddr>,
    inventory: Arc<Inventory>,
    supervisor: Supervisor,
    stop: DropGuard,
    runtime: Background,
}

/// A runtime that may also be dropped in async code: its tasks are not waited for.
struct Background(Option<Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The hub waits for the network nearly always; two threads serve five thousand agents.
const THREADS: usize = 2;

impl App {
    /// Returns once agents can connect; what they are told follows when the cluster has been listed.
    ///
    /// # Errors
    /// An address is taken, a certificate cannot be used, or a kubeconfig that was named is not there.
    pub fn start(config: Config) -> Result<Self, Error> {
        kube::access(&config.kube).check()?;
        let tokens = config.inventory.audience.is_some();
        let tls = config.inventory.tls.as_ref();
        let tls = tls.map(|it| server(it, tokens, &[tls::HTTP2])).transpose()?;
        let https = config.tls.as_ref().map(|it| server(it, false, &[tls::HTTP1])).transpose()?;
        let hubble_tls = config.hubble.as_ref().and_then(|it| it.tls.as_ref());
        let hubble_tls = hubble_tls.map(|it| server(it, false, &[tls::HTTP2])).transpose()?;
        let config::Inventory { log_entries, remember, broadcast, .. } = config.inventory;
        let inventory = Inventory::new(log_entries, remember, broadcast);
        let access = Arc::new(Access::new(&config, inventory.clone())?);
        let replicas = Replicas::new(&config)?;
        let (agents, agents_at) = bind(config.inventory.listen, "inventory.listen")?;
        let hubble = config.hubble.as_ref().map(|it| bind(it.listen, "hubble.listen"));
        let hubble = hubble.transpose()?;
        let http = config.listen.map(|address| bind(address, "--listen")).transpose()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("hub")
            .enable_all()
            .build()
            .map_err(|source| Error::Start { name: "the runtime", source })?;
        let cancel = CancellationToken::new();
        let stop = cancel.clone().drop_guard();
        let mut supervisor = Supervisor::new(runtime.handle().clone(), cancel.clone());

        let watches = Watches::default();
        let reviewer = config
            .inventory
            .audience
            .clone()
            .map(|audience| Reviewer::new(kube::access(&config.kube), audience));
        let served = Agents::new(
            inventory.clone(),
            config.inventory.clone(),
            reviewer,
            replicas.hosts().map(str::to_owned).collect(),
            cancel.clone(),
        );
        let catalogue = Arc::new(Catalogue::new(config.history.max_edges));
        let store = store(&config.history, &catalogue, &mut supervisor)?;
        let ingest = Ingest::new(store, catalogue, &config.history, now_s())?;
        let observers = Arc::new(Observers::new(cancel.clone()));
        let telemetry = ingest::Service {
            ingest: ingest.clone(),
            observers: observers.clone(),
            agents: served.clone(),
            replicas: replicas.clone(),
        };
        let query = Query::new(ingest.clone(), config.history.sums_bytes());
        let to_replicas = replica::Service::new(
            replicas.clone(),
            ingest.clone(),
            observers.clone(),
            served.clone(),
            query.clone(),
        );
        let mut sources = Sources::new(
            inventory.clone(),
            watches.clone(),
            tls.clone(),
            telemetry.clone(),
            access.clone(),
            Exports::new(&config.export, &Resolver::default().function())?,
            query,
        );
        let hubble_at = hubble.as_ref().map(|(_, address)| *address);
        if let Some((listener, _)) = hubble {
            let served = Hubble::new(
                inventory.clone(),
                ingest.clone(),
                observers,
                access.clone(),
                replicas.clone(),
                tls.is_some(),
                cancel.clone(),
            );
            sources.hubble = Some(served.clone());
            supervise_hubble(&mut supervisor, listener, served, hubble_tls);
        }
        let sources = Arc::new(sources);
        supervise_watches(&mut supervisor, &config, &inventory, watches);
        supervise_agents(&mut supervisor, agents, served, tls, telemetry, to_replicas);
        supervise_replicas(&mut supervisor, replicas);
        supervise_flushes(&mut supervisor, ingest.clone());
        let http_at = http.as_ref().map(|(_, address)| *address);
        supervise_files(&mut supervisor, &access, https.clone());
        supervise_exports(&mut supervisor, &sources);
        supervise_http(&mut supervisor, http.map(|(listener, _)| listener), https, sources, access);
        let shown = |at: Option<SocketAddr>| at.map_or("off".into(), |address| address.to_string());
        let (address, hubble) = (shown(http_at), shown(hubble_at));
        tracing::info!(%address, agents = %agents_at, %hubble, "hub started");
        let runtime = Background(Some(runtime));
        Ok(Self {
            config,
            http: http_at,
            agents: agents_at,
            hubble: hubble_at,
            inventory,
            supervisor,
            stop,
            runtime,
        })
    }

    /// Where HTTP is served: the port is the real one also where 0 was configured.
    pub fn address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where agents connect.
    pub fn agents_address(&self) -> SocketAddr {
        self.agents
    }

    /// Where Hubble's clients connect.
    pub fn hubble_address(&self) -> Option<SocketAddr> {
        self.hubble
    }

    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// Blocks until `cancel` is cancelled or a critical part fails, then stops everything within `hub.drain`.
    ///
    /// # Errors
    /// What failed, or did not stop in time.
    pub fn run_until(mut self, cancel: CancellationToken) -> Result<(), Error> {
        let stop = self.stop.disarm();
        self.stop = stop.clone().drop_guard();
        self.supervisor.runtime().spawn(async move {
            cancel.cancelled().await;
            stop.cancel();
        });
        self.supervisor.wait();
        self.shutdown()
    }

    /// Tells agents to go elsewhere, and stops. Blocks.
    ///
    /// # Errors
    /// As [`Self::run_until`].
    pub fn shutdown(self) -> Result<(), Error> {
        let Self { config, supervisor, stop, runtime, .. } = self;
        let ended = supervisor.drain(config.drain).map_err(Error::from);
        drop((stop, runtime));
        tracing::info!("hub stopped");
        ended
    }
}

/// `tokens`: clients may prove who they are without a certificate.
fn server(
    it: &config::Tls,
    tokens: bool,
    protocols: &'static [&'static [u8]],
) -> Result<tls::Server, tls::Error> {
    let own = Files { certificate: it.certificate.clone(), key: it.key.clone() };
    let clients = match &it.client_ca {
        None => Clients::Any,
        Some(path) if tokens => Clients::MayShow(path.clone()),
        Some(path) => Clients::MustShow(path.clone()),
    };
    tls::Server::new(own, clients, protocols)
}

fn store(
    config: &config::History,
    catalogue: &Arc<Catalogue>,
    supervisor: &mut Supervisor,
) -> Result<Arc<dyn Store>, Error> {
    let (blocks_bytes, keep_s) = (config.blocks_bytes(), config.keep_s);
    if let Some(server) = &config.clickhouse {
        let runtime = supervisor.runtime().clone();
        let store = ClickHouse::new(server.clone(), keep_s, catalogue.clone(), runtime)?;
        if let Some(tls) = store.tls() {
            supervise_reload(supervisor, "clickhouse's authorities", Arc::clone(tls));
        }
        return Ok(Arc::new(store));
    }
    Ok(match &config.path {
        Some(path) => Arc::new(Sqlite::open(path, config.disk_bytes, blocks_bytes, keep_s)?),
        None => Arc::new(Memory::new(blocks_bytes, keep_s)),
    })
}

fn now_s() -> u64 {
    model::Timestamp::now().0 / 1_000_000_000
}

fn supervise_flushes(supervisor: &mut Supervisor, ingest: Arc<Ingest>) {
    supervisor.task("history", Policy::Restart(Backoff::default()), move |cancel| {
        let ingest = ingest.clone();
        async move {
            flush_regularly(ingest, cancel).await;
            Ok::<_, Infallible>(())
        }
    });
}

fn bind(
    address: SocketAddr,
    flag: &'static str,
) -> Result<(std::net::TcpListener, SocketAddr), Error> {
    let bound = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|source| Error::Listen { address, flag, source })
}

fn supervise_watches(
    supervisor: &mut Supervisor,
    config: &Config,
    inventory: &Arc<Inventory>,
    watches: Watches,
) {
    let again = Policy::Restart(Backoff::default());
    let (config, inventory) = (config.kube.clone(), inventory.clone());
    supervisor.task("watches", again, move |cancel| {
        let (config, inventory, watches) = (config.clone(), inventory.clone(), watches.clone());
        async move {
            let client = cancel.run_until_cancelled(kube::connect(&config)).await;
            if let Some(client) = client {
                kube::follow(client, config, inventory, watches, cancel).await;
            }
            Ok::<_, Infallible>(())
        }
    });
}

fn supervise_agents(
    supervisor: &mut Supervisor,
    listener: std::net::TcpListener,
    agents: Arc<Agents>,
    tls: Option<tls::Server>,
    telemetry: ingest::Service,
    replicas: replica::Service,
) {
    let again = Policy::Restart(Backoff::default());
    if let Some(tls) = tls.clone() {
        supervise_reload(supervisor, "certificates", Arc::clone(&tls));
    }
    supervisor.task("agents", again, move |cancel| {
        let (listener, agents, tls) = (listener.try_clone(), agents.clone(), tls.clone());
        let (telemetry, replicas) = (telemetry.clone(), replicas.clone());
        async move {
            let listener = listener.and_then(TcpListener::from_std);
            let listener = listener.map_err(|error| error.to_string())?;
            listen(agents, listener, tls, telemetry, replicas, cancel)
                .await
                .map_err(|error| error.to_string())
        }
    });
}

fn supervise_replicas(supervisor: &mut Supervisor, replicas: Arc<Replicas>) {
    if let Some(tls) = replicas.tls() {
        supervise_reload(supervisor, "replicas' authorities", Arc::clone(tls));
    }
    supervisor.task("replicas", Policy::Restart(Backoff::default()), move |cancel| {
        let replicas = replicas.clone();
        async move {
            replicas.run(cancel).await;
            Ok::<_, Infallible>(())
        }
    });
}

fn supervise_hubble(
    supervisor: &mut Supervisor,
    listener: std::net::TcpListener,
    hubble: Arc<Hubble>,
    tls: Option<tls::Server>,
) {
    if let Some(tls) = tls.clone() {
        supervise_reload(supervisor, "hubble's certificates", Arc::clone(&tls));
    }
    supervisor.task("hubble", Policy::Restart(Backoff::default()), move |cancel| {
        let (listener, hubble, tls) = (listener.try_clone(), hubble.clone(), tls.clone());
        async move {
            let listener = listener.and_then(TcpListener::from_std);
            let listener = listener.map_err(|error| error.to_string())?;
            hubble::listen(hubble, listener, tls, cancel).await.map_err(|error| error.to_string())
        }
    });
}

/// Reads files again when they change.
fn supervise_reload<T: Send + Sync + 'static>(
    supervisor: &mut Supervisor,
    name: &'static str,
    reload: Arc<tls::Reload<T>>,
) {
    supervisor.task(name, Policy::Restart(Backoff::default()), move |cancel| {
        let reload = reload.clone();
        async move {
            reload.watch(cancel).await;
            Ok::<_, Infallible>(())
        }
    });
}

fn supervise_files(supervisor: &mut Supervisor, access: &Access, https: Option<tls::Server>) {
    if let Some(https) = https {
        supervise_reload(supervisor, "https certificates", Arc::clone(&https));
    }
    if let Some(provider) = access.fetch().and_then(Fetch::tls) {
        supervise_reload(supervisor, "provider's authorities", Arc::clone(provider));
    }
}

/// The hub's own metrics, to where they are sent.
fn supervise_exports(supervisor: &mut Supervisor, sources: &Arc<Sources>) {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let origin = Origin {
        service: "amphipod-hub",
        // In a cluster: the pod's name.
        instance: host.clone(),
        version: env!("CARGO_PKG_VERSION"),
        attributes: vec![("host.name", host)],
    };
    let asked = sources.clone();
    sources.exports.start(supervisor, &origin, move || MetricsView::collect(&asked));
}

fn supervise_http(
    supervisor: &mut Supervisor,
    listener: Option<std::net::TcpListener>,
    https: Option<tls::Server>,
    sources: Arc<Sources>,
    access: Arc<Access>,
) {
    let again = Policy::Restart(Backoff::default());
    let measured = sources.clone();
    supervisor.task("meter", again, move |cancel| {
        let sources = measured.clone();
        async move {
            sources.meter.run(|| sources.items(), cancel).await;
            Ok::<_, Infallible>(())
        }
    });
    let Some(listener) = listener else { return };
    let routes = router(sources, access);
    supervisor.task("http", again, move |cancel| {
        let (listener, routes, https) = (listener.try_clone(), routes.clone(), https.clone());
        async move {
            let listener = TcpListener::from_std(listener?)?;
            let Ok(()) = match https {
                Some(tls) => serve(Secure::new(listener, tls)?, routes, cancel).await,
                None => serve(listener, routes, cancel).await,
            };
            Ok::<_, io::Error>(())
        }
    });
}
