//! What one agent's records say.

use std::time::{Duration, Instant};

use model::Timestamp;

use super::Feed;
use super::snapshot::Snapshot;
use super::state::State;
use super::window::Window;
use crate::client::{Client, Item, Records};
use crate::filters::Filters;

/// Older records, from which the window learns which addresses are this node's.
const HISTORY: &str = "2000";
/// Records taken in before keys and screen have their turn.
const TURN: usize = 4096;

pub struct Node {
    records: Records,
    window: Window,
    /// Records before this are history.
    start: String,
}

impl Node {
    /// `span`: how far the rates look back.
    pub async fn new(client: &Client, filters: &Filters, span: Duration) -> anyhow::Result<Self> {
        let query = filters.pairs().chain([("follow", "1"), ("last", HISTORY)]);
        let records = client.records(query).await?;
        let window = Window::new(span, Instant::now());
        Ok(Self { records, window, start: Timestamp::now().to_string() })
    }

    /// Takes in records for as long as `span`.
    pub async fn watch(&mut self, span: Duration) -> anyhow::Result<()> {
        let collect = async {
            loop {
                self.next().await?;
            }
        };
        // Ends by itself only where it fails.
        tokio::time::timeout(span, collect).await.unwrap_or(Ok(()))
    }

    /// All that was taken in, as it was when the last of it came.
    pub fn all(&self, state: &State) -> Snapshot {
        Snapshot::new(&self.window, Instant::now(), state.group, state.sort, &state.search)
    }

    fn take(&mut self, line: &str) -> anyhow::Result<()> {
        match Item::parse(line)? {
            // Times have a fixed width, so that text compares like time.
            Item::Record(line) if line.time < self.start => self.window.learn(&line),
            Item::Record(line) => self.window.add(&line, Instant::now()),
            Item::Lost(lost) => self.window.lose(lost.lost),
        }
        Ok(())
    }
}

impl Feed for Node {
    async fn next(&mut self) -> anyhow::Result<()> {
        let Some(line) = self.records.next().await? else {
            return Err(self.records.ended());
        };
        self.take(&line)?;
        // Each look at the clock and at the channels costs more than a record.
        for _ in 0..TURN {
            match self.records.buffered() {
                Some(line) => self.take(&line)?,
                None => break,
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, state: &State) -> Snapshot {
        self.window.slide(Instant::now());
        self.all(state)
    }
}
