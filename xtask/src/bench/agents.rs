//! A process of [`fleet`](super::fleet), from this side.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use sim::Cgroup;

use super::child::Child;
use super::fleet::{Answer, Order, Synced};
use super::lab::Lab;
use super::reporters::Told;

/// More than any answer takes beyond the time that is asked for.
const ANSWER: Duration = Duration::from_secs(60);

/// Simulated agents.
pub struct Agents<'a> {
    child: Child,
    _cgroup: Cgroup,
    lab: &'a Lab,
}

impl<'a> Agents<'a> {
    pub fn start(lab: &'a Lab) -> Result<Self> {
        let cgroup = lab.site.container("agents")?;
        let program = std::env::current_exe().context("find this program")?;
        let arguments = ["bench".to_owned(), super::FLEET.to_owned()];
        let child = Child::start(program, &arguments, &cgroup, None, lab.site.file("agents.log"))?;
        Ok(Self { child, _cgroup: cgroup, lab })
    }

    /// Once all have been told everything.
    ///
    /// # Errors
    /// They have not, in time.
    pub fn synced(&mut self, order: &Order) -> Result<Synced> {
        match self.ask(order)? {
            Answer::Synced(synced) if synced.complete == synced.agents => Ok(synced),
            other => bail!("not all agents were told everything: {other:?}"),
        }
    }

    /// Batches that came since this was last asked.
    pub fn batches(&mut self) -> Result<u64> {
        match self.ask(&Order::Count)? {
            Answer::Told { batches, .. } => Ok(batches),
            other => bail!("agents answered {other:?}"),
        }
    }

    /// What those that report did since this was last asked.
    pub fn reported(&mut self, order: &Order) -> Result<Told> {
        match self.ask(order)? {
            Answer::Reported(told) => Ok(told),
            other => bail!("agents answered {other:?}"),
        }
    }

    fn ask(&mut self, order: &Order) -> Result<Answer> {
        self.child.tell(&serde_json::to_string(order).context("order")?)?;
        let seconds = match order {
            Order::Connect { seconds, .. }
            | Order::Await { seconds }
            | Order::Reported { seconds } => *seconds,
            Order::Count | Order::Report { .. } => 0.0,
        };
        let limit = ANSWER + Duration::from_secs_f64(seconds);
        let line = self.child.line(&self.lab.interrupt, limit)?;
        match serde_json::from_str(&line).with_context(|| format!("agents said {line}"))? {
            Answer::Failed(error) => bail!("agents: {error}"),
            answer => Ok(answer),
        }
    }
}
