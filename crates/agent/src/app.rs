//! Wires everything, top to bottom.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use daemon::export::{Exports, Origin};
use daemon::http::serve;
use daemon::{Backoff, Policy, Supervisor};
use model::status::ProgramState;
use model::{Change, Timestamp};
use probes::{Batch, Report};
use reflector::Resolver;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::Source;
use crate::export::{LocalSocket, MetricsView, Sources, local_router, router, watch_losses};
use crate::identity::{self, Directory};
use crate::kube::{self, Link, Wanted};
use crate::pipeline::{Interval, Shared, Worker};
use crate::report::{Reporter, Spool};
use crate::{Config, Error, backend};

/// More than a batch has: mapping one anew each time would cost more than it saves.
const MAPPED_BYTES: u32 = 1 << 20;

/// A running agent. Dropping it without [`App::shutdown`] stops it, too, without waiting.
pub struct App {
    config: Config,
    address: Option<SocketAddr>,
    supervisor: Supervisor,
    stop: DropGuard,
    runtime: Background,
    shared: Arc<Shared>,
    /// Held while the agent lives.
    _socket: LocalSocket,
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

/// Where batches come from. Dropping it ends them, and the sender that it was given.
pub trait Feed: Send {
    fn report(&self) -> Report;
}

impl Feed for probes::Running {
    fn report(&self) -> Report {
        probes::Running::report(self)
    }
}

type SharedFeed = Arc<Mutex<Option<Box<dyn Feed>>>>;

impl App {
    /// Checks privileges and kernel, takes the node's lock, and starts probes, pipeline and servers. Returns once the
    /// probes are attached and the sockets listen. Starts threads of its own; no async runtime is needed around it.
    ///
    /// `changes` feeds the names of pods and services; the end of the feed is not the end of the agent. Without, they
    /// come from where `config.metadata` says.
    pub fn start(
        config: Config,
        changes: impl Into<Option<Receiver<Change>>>,
    ) -> Result<Self, Error> {
        probes::check()?;
        probes::share_heap(MAPPED_BYTES);
        let settings = config.probes.clone();
        let app = Self::start_with(config, changes, move |batches| {
            Ok(Box::new(probes::start(&settings, batches)?))
        })?;
        probes::release_image();
        Ok(app)
    }

    /// [`App::start`] with another origin of batches than this kernel.
    pub fn start_with(
        config: Config,
        changes: impl Into<Option<Receiver<Change>>>,
        start: impl FnOnce(SyncSender<Batch>) -> Result<Box<dyn Feed>, Error>,
    ) -> Result<Self, Error> {
        let mut socket = LocalSocket::lock(&config.socket)?;
        let local = socket.listen()?;
        let open = config.listen.map(listen).transpose()?;
        let address = open.as_ref().and_then(|listener| listener.local_addr().ok());

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(8)
            .thread_name("agent-http")
            .enable_all()
            .build()
            .map_err(|source| Error::Start { name: "the HTTP runtime", source })?;
        let cancel = CancellationToken::new();
        let stop = cancel.clone().drop_guard();
        let mut supervisor = Supervisor::new(runtime.handle().clone(), cancel);
        let runtime = Background(Some(runtime));

        let shared = Arc::new(Shared::new(&config));
        // The other half of `pipeline.queue` waits in the pipeline itself, where it can be seen.
        let (sender, batches) = sync_channel((config.pipeline.queue / 2).max(1));
        let feed = start(sender)?;
        log_verdicts(&feed.report());
        let feed: SharedFeed = Arc::new(Mutex::new(Some(feed)));
        // After the probes: a cgroup made meanwhile is in their events or in this walk.
        let changes = changes.into();
        let source = match config.mode {
            identity::Mode::Kubernetes if changes.is_none() => config.metadata.source,
            _ => Source::None,
        };
        let names = names(&config, source, changes.is_some());
        let (backends, proc_root) = (names.backends, names.proc_root.clone());
        let directory = Directory::new(names)
            .map_err(|source| Error::Start { name: "the directory of cgroups", source })?;
        let (link, wanted) = (Arc::new(Link::new(source)), Arc::new(Wanted::default()));
        let mut worker = Worker::new(directory, shared.clone(), wanted.clone());
        if backends {
            worker = worker.with_desk(backend::start(
                &mut supervisor,
                proc_root,
                shared.obstacle.clone(),
            )?);
        }
        let asked = feed.clone();
        let report = move || lock(&asked).as_deref().map(Feed::report).unwrap_or_default();
        let exports = Exports::new(&config.export, &Resolver::default().function())?;
        let (report, told) = (Box::new(report), link.clone());
        let sources = Arc::new(Sources::new(config.clone(), shared.clone(), told, report, exports));

        let reporter = reporter(&config, source, &sources, &mut worker);
        let changes = changes.unwrap_or_else(|| {
            let metadata = crate::config::Metadata { source, ..config.metadata.clone() };
            kube::start(&mut supervisor, &config.node, &metadata, &link, &wanted, reporter)
        });
        supervise_pipeline(&mut supervisor, worker, batches, changes)?;
        supervise_feed(&mut supervisor, feed)?;
        supervise_servers(&mut supervisor, &sources, local, open);
        supervise_exports(&mut supervisor, &sources);
        supervise_watchers(&mut supervisor, sources);
        let served = address.map_or("off".into(), |address| address.to_string());
        tracing::info!(node = %config.node, address = %served, socket = %config.socket.display(), "agent started");
        Ok(Self { config, address, supervisor, stop, runtime, shared, _socket: socket })
    }

    /// The TCP address that is served: the port is the real one also where 0 was configured.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What the pipeline has done so far.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Blocks until `cancel` is cancelled or a critical part fails, then stops everything within `config.drain`.
    /// From async code: call it through `spawn_blocking`.
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

    /// Stops everything: probes detach, what is queued is processed, readers get what is left; within `config.drain`.
    /// Blocks.
    pub fn shutdown(self) -> Result<(), Error> {
        let Self { config, supervisor, stop, runtime, _socket, .. } = self;
        let ended = supervisor.drain(config.drain).map_err(Error::from);
        drop((stop, runtime));
        tracing::info!(node = %config.node, "agent stopped");
        ended
    }
}

/// What the directory waits for, and what it asks for.
fn names(config: &Config, source: Source, given: bool) -> identity::Config {
    let names = identity::Config::new(config.node.clone(), config.mode);
    let feed = match source {
        Source::Hub => identity::Feed::OnDemand,
        Source::Kube | Source::Kubelet => identity::Feed::Whole,
        Source::None if given => identity::Feed::Whole,
        Source::None => identity::Feed::None,
    };
    identity::Config {
        scope: config.cgroup.clone(),
        feed,
        // Services are what a feed tells of.
        backends: config.mode == identity::Mode::Kubernetes && feed != identity::Feed::None,
        patience: config.metadata.patience,
        interest_idle: config.metadata.address_expiry,
        lookups: config.probes.dns.enabled && config.probes.flow.enabled,
        limits: identity::Limits {
            interest: config.metadata.max_addresses,
            ..identity::Limits::default()
        },
        ..names
    }
}

/// What the hub is told, where names come from one.
fn reporter(
    config: &Config,
    source: Source,
    sources: &Arc<Sources>,
    worker: &mut Worker,
) -> Option<Arc<Reporter>> {
    if source != Source::Hub || !config.report.enabled {
        return None;
    }
    let connections = config.pipeline.max_connections;
    let interval = Interval::new(&config.report, connections, Timestamp::now());
    let spool = Arc::new(Spool::new(config.report.spool_bytes));
    sources.reports(spool.clone(), interval.counters());
    worker.report(interval, spool.clone());
    let asked = Arc::downgrade(sources);
    let health = move || asked.upgrade().map(|sources| sources.health()).unwrap_or_default();
    Some(Arc::new(Reporter {
        node: config.node.clone(),
        life: Reporter::new_life(),
        spool,
        records: sources.shared.records.clone(),
        health: Box::new(health),
    }))
}

fn listen(address: SocketAddr) -> Result<std::net::TcpListener, Error> {
    let listener = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| Error::Listen { address, source })
}

/// Ends when the last sender of batches is gone: what was on its way is delivered.
fn supervise_pipeline(
    supervisor: &mut Supervisor,
    worker: Worker,
    batches: Receiver<Batch>,
    changes: Receiver<Change>,
) -> Result<(), Error> {
    let mut once = Some((worker, batches, changes));
    supervisor.thread("pipeline", Policy::Critical, move |_| {
        if let Some((worker, batches, changes)) = once.take() {
            worker.run(&batches, changes);
        }
        Ok::<_, Infallible>(())
    })?;
    Ok(())
}

/// Detaches the probes when it is time to stop; the rest follows from that.
fn supervise_feed(supervisor: &mut Supervisor, feed: SharedFeed) -> Result<(), Error> {
    let runtime = supervisor.runtime().clone();
    supervisor.thread("probes", Policy::Critical, move |cancel| {
        runtime.block_on(cancel.cancelled());
        let ended = lock(&feed).take();
        drop(ended);
        Ok::<_, Infallible>(())
    })?;
    Ok(())
}

fn supervise_servers(
    supervisor: &mut Supervisor,
    sources: &Arc<Sources>,
    local: std::os::unix::net::UnixListener,
    open: Option<std::net::TcpListener>,
) {
    let again = Policy::Restart(Backoff::default());
    let routes = local_router(sources.clone());
    supervisor.task("local socket", again, move |cancel| {
        let (listener, routes) = (local.try_clone(), routes.clone());
        async move {
            let Ok(()) = serve(UnixListener::from_std(listener?)?, routes, cancel).await;
            Ok::<_, io::Error>(())
        }
    });
    let Some(open) = open else { return };
    let routes = router(sources.clone());
    supervisor.task("http", again, move |cancel| {
        let (listener, routes) = (open.try_clone(), routes.clone());
        async move {
            let Ok(()) = serve(TcpListener::from_std(listener?)?, routes, cancel).await;
            Ok::<_, io::Error>(())
        }
    });
}

/// Metrics, to where they are sent.
fn supervise_exports(supervisor: &mut Supervisor, sources: &Arc<Sources>) {
    let Config { node, mode, .. } = &sources.config;
    let names_node = match mode {
        identity::Mode::Kubernetes => "k8s.node.name",
        identity::Mode::Standalone => "host.name",
    };
    let origin = Origin {
        service: "amphipod-agent",
        instance: node.to_string(),
        version: env!("CARGO_PKG_VERSION"),
        attributes: vec![(names_node, node.to_string())],
    };
    let asked = sources.clone();
    sources.exports.start(supervisor, &origin, move || MetricsView::collect(&asked));
}

fn supervise_watchers(supervisor: &mut Supervisor, sources: Arc<Sources>) {
    let again = Policy::Restart(Backoff::default());
    let watched = sources.clone();
    supervisor.task("losses", again, move |cancel| {
        let watch = watch_losses(watched.clone(), cancel);
        async move {
            watch.await;
            Ok::<_, Infallible>(())
        }
    });
    supervisor.task("meter", again, move |cancel| {
        let sources = sources.clone();
        async move {
            sources.meter.run(|| sources.shared.total.load(Ordering::Relaxed), cancel).await;
            Ok::<_, Infallible>(())
        }
    });
}

fn log_verdicts(report: &Report) {
    for program in &report.programs {
        let (probe, name, reason) = (&program.probe, &program.program, &program.reason);
        match program.state {
            ProgramState::Active | ProgramState::Disabled => {
                tracing::debug!(probe, program = name, reason, "attached")
            }
            ProgramState::Unsupported => {
                tracing::info!(probe, program = name, reason, "unsupported")
            }
            ProgramState::Degraded => tracing::warn!(probe, program = name, reason, "degraded"),
            ProgramState::Failed => tracing::error!(probe, program = name, reason, "failed"),
        }
    }
}

fn lock(feed: &SharedFeed) -> std::sync::MutexGuard<'_, Option<Box<dyn Feed>>> {
    feed.lock().unwrap_or_else(PoisonError::into_inner)
}
