//! What a probe's thread works with.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libbpf_rs::skel::Skel;
use libbpf_rs::{MapCore, MapHandle};

use crate::feature::Features;
use crate::health::Health;
use crate::tcp::Ledger;
use crate::{Batch, Error, Settings};

pub struct Context {
    pub probe: &'static str,
    pub settings: Arc<Settings>,
    pub features: Features,
    pub health: Arc<Health>,
    pub patience: Duration,
    pub out: SyncSender<Batch>,
    pub stop: Arc<Stop>,
    pub shared: Arc<Shared>,
    pub started: Sender<Result<(), Error>>,
}

impl Context {
    /// Says that the probe is loaded and attached. Until then [`crate::start`] waits.
    pub fn ready(&self) {
        // Nobody waits any more: the start was given up, and the stop will come.
        self.started.send(Ok(())).ok();
    }

    pub fn cancelled(&self) -> bool {
        self.stop.is_set()
    }

    /// Passes the time; false once the probe must end.
    pub fn wait(&self, time: Duration) -> bool {
        !self.stop.wait(time)
    }

    /// Delivers, waiting for room up to the probe's patience; what finds none is shed and counted.
    pub fn send(&self, mut batch: Batch) {
        let count = batch.len();
        if count == 0 {
            return;
        }
        let deadline = Instant::now() + self.patience;
        loop {
            match self.out.try_send(batch) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => return,
                Err(TrySendError::Full(back)) => batch = back,
            }
            if self.cancelled() || Instant::now() >= deadline {
                self.health.shed(count as u64);
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Makes the loaded object's programs and maps part of the probe's health.
    pub fn register<'obj>(&self, skel: &impl Skel<'obj>) {
        for program in skel.object().progs() {
            let name = program.name().to_string_lossy().into_owned();
            self.health.loaded(&name, program.as_fd().try_clone_to_owned().ok());
        }
        for map in skel.object().maps() {
            if !map.autocreate() {
                continue;
            }
            let name = map.name().to_string_lossy().into_owned();
            let Ok(handle) = MapHandle::try_from(&map) else { continue };
            // Another probe's is in that one's health.
            if !name.contains('.') && !self.shared.holds(&handle) {
                self.health.map(name, handle);
            }
        }
    }

    /// Names the probe that an error of libbpf belongs to.
    pub fn error(&self, source: libbpf_rs::Error) -> Error {
        Error::Probe { probe: self.probe, source }
    }
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Observations(observations) => observations.len(),
            Self::Cgroups(cgroups) => cgroups.len(),
        }
    }
}

/// Tells every probe to end, at once.
#[derive(Default)]
pub struct Stop {
    set: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Stop {
    pub fn set(&self) {
        self.set.store(true, Ordering::Release);
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_all();
    }

    fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// True if the stop came before `time` was over.
    fn wait(&self, time: Duration) -> bool {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(guard, time, |()| !self.is_set());
        drop(waited);
        self.is_set()
    }
}

/// What probes share.
#[derive(Default)]
pub struct Shared {
    /// That one probe keeps, and another reads.
    maps: Mutex<HashMap<&'static str, (MapHandle, Arc<Health>)>>,
    pub ledger: Ledger,
}

impl Shared {
    pub fn publish(&self, name: &'static str, map: MapHandle, keeper: Arc<Health>) {
        self.maps().insert(name, (map, keeper));
    }

    /// `None` if the probe that keeps it did not start.
    pub fn get(&self, name: &str) -> Option<MapHandle> {
        MapHandle::try_from(&self.maps().get(name)?.0).ok()
    }

    fn holds(&self, map: &MapHandle) -> bool {
        let id = |map: &MapHandle| map.info().ok().map(|it| it.info.id);
        let wanted = id(map);
        wanted.is_some() && self.maps().values().any(|(shared, _)| id(shared) == wanted)
    }

    /// Tells the map's keeper how many entries the reader found.
    pub fn entries(&self, name: &str, entries: u64) {
        if let Some((_, keeper)) = self.maps().get(name) {
            keeper.entries(name, entries);
        }
    }

    fn maps(&self) -> MutexGuard<'_, HashMap<&'static str, (MapHandle, Arc<Health>)>> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
