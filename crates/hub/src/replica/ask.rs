//! Questions about history that all replicas are asked.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashSet;
use model::Measure;
use proto::replica::SumAsk;
use tokio::sync::oneshot;

use super::peer::Replica;
use super::{HISTORY, Replicas, translate};
use crate::observe::{Listener, Observers, TooMany};
use crate::query::{Along, Others, Plan, Select};
use proto::telemetry::{Ask, Introduction};

impl Replicas {
    /// The others' parts of a sum; they are asked at once.
    pub fn sums(self: &Arc<Self>, times_s: Range<u64>, select: &Select) -> Others {
        if !self.have_history() {
            return Others::default();
        }
        let select = translate::select(select);
        let ask = SumAsk { since_s: times_s.start, until_s: times_s.end, select: Some(select) };
        let (out, shares) = oneshot::channel();
        let replicas = self.clone();
        tokio::spawn(async move {
            let sum = |mut replica: Replica| {
                let ask = ask.clone();
                async move { translate::share(replica.sum(ask).await?.into_inner()).await }
            };
            let mut gathered = replicas.gather(HISTORY, sum).await;
            gathered.missing.extend(replicas.gone_since(ask.since_s));
            let _ = out.send(gathered);
        });
        Others::new(shares)
    }

    /// The others' parts of a series; `None`: there are no others.
    pub fn series(
        self: &Arc<Self>,
        plan: &Plan,
        measures: &[Measure],
        select: &Select,
    ) -> Option<Along> {
        if !self.have_history() {
            return None;
        }
        let (own, observed) = oneshot::channel();
        let (told, all) = oneshot::channel();
        let (out, steps) = oneshot::channel();
        let replicas = self.clone();
        let (plan, measures, select) = (plan.clone(), measures.to_vec(), select.clone());
        tokio::spawn(async move {
            let ask = translate::series(&plan, &measures, &select, Vec::new());
            let half = |mut replica: Replica| {
                let ask = ask.clone();
                async move { Ok(replica.observed(ask).await?.into_inner().ways) }
            };
            // Who does not answer now is named as missing by the other half.
            let (observed, others) = tokio::join!(observed, replicas.gather(HISTORY, half));
            let mut ways: HashSet<u64> = observed.unwrap_or_default();
            ways.extend(others.answers.into_iter().flatten());
            let ask = translate::series(&plan, &measures, &select, ways.iter().copied().collect());
            let _ = told.send(ways);
            let half = |mut replica: Replica| {
                let (ask, plan) = (ask.clone(), plan.clone());
                async move {
                    let steps = replica.series(ask).await?.into_inner();
                    Ok(translate::told_steps(&plan, steps)?)
                }
            };
            let mut gathered = replicas.gather(HISTORY, half).await;
            gathered.missing.extend(replicas.gone_since(plan.times_s.start));
            let _ = out.send(gathered);
        });
        Some(Along { own, all, steps })
    }

    /// How far the others have heard a node's agent, which has come here: they take nothing more from it. `None`: nobody
    /// knows it.
    pub async fn hand_over(&self, it: &Introduction) -> Option<proto::replica::Position> {
        if !self.have_history() {
            return None;
        }
        let agent = proto::replica::Agent { node: it.node.clone() };
        let ask =
            async |mut replica: Replica| Ok(replica.hand_over(agent.clone()).await?.into_inner());
        let gathered = self.gather(HISTORY, ask).await;
        if !gathered.missing.is_empty() {
            self.counters.unsure.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        gathered
            .answers
            .into_iter()
            .filter(|it| it.life > 0)
            .max_by_key(|it| (it.life, it.sequence))
    }

    /// Asks the agents of all replicas.
    ///
    /// # Errors
    /// Too many others ask here.
    pub fn observe(&self, observers: &Arc<Observers>, ask: Ask) -> Result<Listener, TooMany> {
        let mut listener = observers.ask(ask.clone())?;
        super::follow(self, &ask, &mut listener);
        Ok(listener)
    }
}
