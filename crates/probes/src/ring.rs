//! The loop around a ring buffer.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use libbpf_rs::{MapCore, RingBufferBuilder};

use crate::context::Context;
use crate::{Batch, Error, plain};

/// How long an event may wait in the ring buffer before user space looks.
const POLL: Duration = Duration::from_millis(100);

/// The same while many come: ten small pieces of work disturb the workload's latency less than a large one.
const BUSY_POLL: Duration = Duration::from_millis(10);

/// Events of one look from which on it is busy.
const BUSY: usize = 100;

/// Observations of one send: enough to make its cost vanish, few enough to keep memory flat.
const BATCH: usize = 1024;

impl Context {
    /// Delivers what comes through `events` until the probe must end, and then what is left in it. `convert` pushes
    /// what an event means; `wrap` makes a batch of it. `turn` runs before every look.
    pub fn deliver<E: plain::Plain, T>(
        &self,
        events: &dyn MapCore,
        wrap: fn(Vec<T>) -> Batch,
        mut turn: impl FnMut(),
        convert: impl Fn(&E, &mut Vec<T>),
    ) -> Result<(), Error> {
        let batch = RefCell::new(Vec::new());
        let received = Cell::new(0);
        let flush = || {
            let full = batch.take();
            if !full.is_empty() {
                self.send(wrap(full));
            }
        };
        let mut builder = RingBufferBuilder::new();
        let receive = |bytes: &[u8]| {
            received.set(received.get() + 1);
            convert(&plain::read_padded(bytes), &mut batch.borrow_mut());
            if batch.borrow().len() >= BATCH {
                flush();
            }
            0
        };
        builder.add(events, receive).map_err(|error| self.error(error))?;
        let ring = builder.build().map_err(|error| self.error(error))?;
        loop {
            let last = self.cancelled();
            turn();
            if !last {
                // Interrupted by a signal is as good as a timeout.
                ring.poll(if received.take() >= BUSY { BUSY_POLL } else { POLL }).ok();
            }
            ring.consume().map_err(|error| self.error(error))?;
            flush();
            if last {
                return Ok(());
            }
        }
    }
}
