//! Says in the log what was lost: nobody may have to look at `/metrics` to learn of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::status::Loss;
use tokio_util::sync::CancellationToken;

use super::http::Sources;
use super::status;

/// At most one line for each cause in this time.
const PERIOD: Duration = Duration::from_secs(30);

/// Compares the counters of what was lost until cancelled.
pub async fn watch_losses(sources: Arc<Sources>, cancel: CancellationToken) {
    let mut watch = Watch::default();
    let mut every = tokio::time::interval(PERIOD);
    while cancel.run_until_cancelled(every.tick()).await.is_some() {
        let sources = sources.clone();
        let Ok(losses) = tokio::task::spawn_blocking(move || status::losses(&sources)).await else {
            continue;
        };
        for Loss { probe, stage, cause, count } in watch.new_losses(losses) {
            tracing::warn!(probe, stage, cause, lost = count, "lost since the last such line");
        }
    }
}

#[derive(Default)]
struct Watch {
    before: HashMap<(String, String, String), u64>,
}

impl Watch {
    /// What was added to each counter since the last call.
    fn new_losses(&mut self, losses: Vec<Loss>) -> Vec<Loss> {
        let added = |loss: Loss| {
            let Loss { probe, stage, cause, count } = loss;
            let before = self
                .before
                .insert((probe.clone(), stage.clone(), cause.clone()), count)
                .unwrap_or(0);
            (count > before).then(|| Loss { probe, stage, cause, count: count - before })
        };
        losses.into_iter().filter_map(added).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_told() {
        let loss = |cause: &str, count| Loss {
            probe: "tcp".into(),
            stage: "kernel".into(),
            cause: cause.into(),
            count,
        };
        let mut watch = Watch::default();
        assert_eq!(
            watch.new_losses(vec![loss("ring_full", 0), loss("map_full", 7)]),
            [loss("map_full", 7)]
        );
        assert_eq!(
            watch.new_losses(vec![loss("ring_full", 2), loss("map_full", 7)]),
            [loss("ring_full", 2)]
        );
        assert_eq!(
            watch.new_losses(vec![loss("ring_full", 5), loss("map_full", 8)]),
            [loss("ring_full", 3), loss("map_full", 1)]
        );
    }
}
