//! What can be made to go wrong.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// See [`ApiServer::fault`](super::ApiServer::fault). What lasts does so until the same is set to its opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Ends all watches: in order (`abrupt` false, as at a timeout), or in the middle of the stream.
    DropWatches {
        abrupt: bool,
    },
    /// Lists take so long to begin. Zero ends it.
    SlowLists(Duration),
    /// Forgets all history: old versions and continued lists get 410.
    Compact,
    /// All connections die, and for `down` none is accepted.
    Restart {
        down: Duration,
        versions: Versions,
    },
    /// Restarts so many times, with as much time up as down. Versions continue.
    Flap {
        times: u32,
        every: Duration,
    },
    /// Accepts, but neither answers nor hears, also on connections that exist.
    Partition(Duration),
    /// A watch that resumes is told again of so many changes before its version; with the newest first if `reversed`.
    Replay {
        events: usize,
        reversed: bool,
    },
    WatchList(WatchList),
    /// Refuses protobuf with 406. Tables and metadata are made still.
    JsonOnly(bool),
    /// An expired watch is refused with HTTP 410 instead of an event of type ERROR.
    GoneByStatus(bool),
    /// Refuses the next requests with 429 and the wish to be asked again in so many seconds.
    Overload {
        requests: u32,
        retry_after_s: u32,
    },
    /// Puts an object that harms those who do not expect it.
    Hostile(super::Hostile),
}

/// What becomes of resource versions in a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// They go on, and what was missed can be asked for.
    Continue,
    /// They go on, but the history is lost: whoever was behind gets 410.
    Forget,
    /// They start again, lower than before: the server's memory is another. Versions above the present one are refused
    /// with 504, as "too large".
    Reset,
}

/// How lists by watching (`sendInitialEvents`) are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchList {
    #[default]
    Served,
    /// With 422, as by a server that has it switched off.
    Refused,
    /// As by a server that has never heard of it: the objects come, but no mark at their end.
    Ignored,
}

/// The faults that last.
#[derive(Debug)]
pub(super) struct Faults {
    state: Mutex<State>,
    /// Counts drops of watches; true: abruptly.
    drops: watch::Sender<(u64, bool)>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub slow_lists: Duration,
    pub replay: usize,
    pub reversed: bool,
    pub watch_list: WatchList,
    pub json_only: bool,
    pub gone_by_status: bool,
    overload: u32,
    retry_after_s: u32,
}

impl Default for Faults {
    fn default() -> Self {
        Self { state: Mutex::default(), drops: watch::Sender::new((0, false)) }
    }
}

impl Faults {
    pub fn now(&self) -> State {
        *self.state()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what lasts; true if that is all there is to the fault.
    pub fn set(&self, fault: Fault) -> bool {
        let mut state = self.state();
        match fault {
            Fault::DropWatches { abrupt } => {
                self.drops.send_modify(|(count, how)| (*count, *how) = (*count + 1, abrupt));
            }
            Fault::SlowLists(by) => state.slow_lists = by,
            Fault::Replay { events, reversed } => {
                (state.replay, state.reversed) = (events, reversed);
            }
            Fault::WatchList(how) => state.watch_list = how,
            Fault::JsonOnly(only) => state.json_only = only,
            Fault::GoneByStatus(by_status) => state.gone_by_status = by_status,
            Fault::Overload { requests, retry_after_s } => {
                (state.overload, state.retry_after_s) = (requests, retry_after_s);
            }
            Fault::Compact
            | Fault::Restart { .. }
            | Fault::Flap { .. }
            | Fault::Partition(_)
            | Fault::Hostile(_) => return false,
        }
        true
    }

    /// Seconds after which to come again, if this request is one too many.
    pub fn take_overload(&self) -> Option<u32> {
        let mut state = self.state();
        state.overload = state.overload.checked_sub(1)?;
        Some(state.retry_after_s)
    }

    pub fn drops(&self) -> watch::Receiver<(u64, bool)> {
        self.drops.subscribe()
    }
}
