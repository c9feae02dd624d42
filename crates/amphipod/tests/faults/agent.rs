//! The agent's side of the stream.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use agent::Config;
use agent::identity::Wish;
use agent::kube::{self, Link, Wanted};
use daemon::Supervisor;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Moment};
use crate::view::View;

/// How often a wait that nothing ends looks at the clock.
const LOOK: Duration = Duration::from_millis(100);

pub struct Agent {
    known: Arc<(Mutex<Known>, Condvar)>,
    runtime: Option<Runtime>,
    _supervisor: Supervisor,
}

struct Known {
    view: View,
    account: Option<View>,
    /// When the view last changed.
    changed: Moment,
}

impl Agent {
    pub fn start(hub: SocketAddr, node: &str, wanted: &[IpAddr]) -> Self {
        let config = format!("[metadata]\nsource = \"hub\"\nhubs = [\"http://{hub}\"]\n");
        let config = Config::parse(&config, Some(node)).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let mut supervisor = Supervisor::new(runtime.handle().clone(), CancellationToken::new());
        let link = Arc::new(Link::new(config.metadata.source));
        let asks = Arc::new(Wanted::default());
        asks.apply(wanted.iter().copied().map(Wish::Want));
        let (node, metadata) = (&config.node, &config.metadata);
        let changes = kube::start(&mut supervisor, node, metadata, &link, &asks, None);
        let known = Known { view: View::default(), account: None, changed: clock::now() };
        let known = Arc::new((Mutex::new(known), Condvar::new()));
        let told = known.clone();
        // Ends with the source.
        std::thread::spawn(move || {
            for change in changes {
                let mut known = told.0.lock().unwrap();
                let Known { view, account, changed } = &mut *known;
                let before = view.clone();
                view.take(account, change);
                if *view != before {
                    *changed = clock::now();
                }
                drop(known);
                told.1.notify_all();
            }
        });
        Self { known, runtime: Some(runtime), _supervisor: supervisor }
    }

    /// When what is known became such that it is `enough`; `None` if that is not so within `patience`.
    pub fn knows(&self, patience: Duration, enough: impl Fn(&View) -> bool) -> Option<Moment> {
        let (known, changed) = &*self.known;
        let began = clock::now();
        let mut known = known.lock().unwrap();
        loop {
            if known.account.is_none() && enough(&known.view) {
                return Some(known.changed);
            }
            if clock::now().since(began).ran > patience {
                return None;
            }
            known = changed.wait_timeout(known, LOOK).unwrap().0;
        }
    }

    pub fn view(&self) -> View {
        self.known.0.lock().unwrap().view.clone()
    }
}

/// As a process that is killed: its connections are closed for it, and it says nothing more.
impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
