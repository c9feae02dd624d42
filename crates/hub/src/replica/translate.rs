//! Questions and rows, as they travel.

use std::sync::Arc;

use model::Measure;
use model::Scope;
use model::row::{Key, Values};
use proto::columns::{Malformed, Reader, Writer, compress, decompress, merge};
use proto::replica as wire;
use proto::{Defined, Unsound};
use tonic::{Code, Status, Streaming};

use crate::observe;
use crate::query::{Name, Plan, Select, Share, Steps};
use crate::store::{Level, Loss};

/// Of one message: some hundred bytes each.
const ROWS: usize = 8192;
const ZSTD_LEVEL: i32 = 1;

/// What a replica says that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misunderstood {
    #[error(transparent)]
    Definitions(#[from] Unsound),
    #[error(transparent)]
    Columns(#[from] Malformed),
    #[error("an answer without an end")]
    Unended,
}

impl From<Misunderstood> for Status {
    fn from(error: Misunderstood) -> Self {
        Self::new(Code::DataLoss, error.to_string())
    }
}

pub fn select(it: &Select) -> wire::Select {
    let name = |it: &Option<Name>| {
        it.clone().map(|Name { namespace, kind, name }| wire::Name { namespace, kind, name })
    };
    wire::Select {
        namespaces: it.namespaces.clone(),
        source: name(&it.source),
        destination: name(&it.destination),
        workload: name(&it.workload),
        scope: observe::within(&it.scope),
    }
}

pub fn selected(it: Option<wire::Select>) -> Select {
    let it = it.unwrap_or_default();
    let name = |it: Option<wire::Name>| {
        it.map(|wire::Name { namespace, kind, name }| Name { namespace, kind, name })
    };
    Select {
        scope: it.scope.map_or(Scope::All, |it| Scope::of(it.namespaces)),
        namespaces: it.namespaces,
        source: name(it.source),
        destination: name(it.destination),
        workload: name(it.workload),
    }
}

fn losses(all: Vec<Loss>) -> Vec<wire::Loss> {
    let loss = |Loss { node, reason, rows, since_s, until_s }| wire::Loss {
        node: String::from(&*node),
        reason: String::from(&*reason),
        rows,
        since_s,
        until_s,
    };
    all.into_iter().map(loss).collect()
}

fn told_losses(all: Vec<wire::Loss>) -> Vec<Loss> {
    let loss = |wire::Loss { node, reason, rows, since_s, until_s }| Loss {
        node: node.into(),
        reason: reason.into(),
        rows,
        since_s,
        until_s,
    };
    all.into_iter().map(loss).collect()
}

/// # Errors
/// It cannot be compressed.
pub fn parts(share: Share) -> std::io::Result<Vec<wire::SumPart>> {
    let mut parts = Vec::with_capacity(share.rows.len() / ROWS + 1);
    for (number, rows) in share.rows.chunks(ROWS).enumerate() {
        let first = (number * ROWS) as u32;
        let mut writer = Writer::default();
        for (id, (_, values)) in (first..).zip(rows) {
            writer.push(id, values);
        }
        let keys = (first..).zip(rows).map(|(id, (key, _))| (id, &**key));
        let columns = writer.finish();
        parts.push(wire::SumPart {
            definitions: Some(proto::define(keys)),
            columns: compress(&columns, ZSTD_LEVEL)?.into(),
            columns_bytes: columns.len() as u32,
            covered: None,
        });
    }
    let covered = wire::Covered {
        since_s: share.times_s.start,
        until_s: share.times_s.end,
        step_s: share.step_s,
        losses: losses(share.missing),
    };
    parts.push(wire::SumPart { covered: Some(covered), ..wire::SumPart::default() });
    Ok(parts)
}

/// # Errors
/// The stream breaks off, or is none.
pub async fn share(mut parts: Streaming<wire::SumPart>) -> Result<Share, Status> {
    let mut rows: Vec<(Arc<Key>, Values)> = Vec::new();
    while let Some(told) = parts.message().await? {
        let keys = proto::defined(told.definitions.unwrap_or_default());
        let keys = keys.map_err(Misunderstood::from)?;
        let mut defined = Defined::default();
        let keys = keys.into_iter().map(|(id, key)| (id, Arc::new(key))).collect();
        defined.take(false, keys).map_err(Misunderstood::from)?;
        if told.columns_bytes > 0 {
            read(&told.columns, told.columns_bytes, |id, values| {
                rows.extend(defined.get(id).map(|key| (key.clone(), values)));
            })?;
        }
        if let Some(it) = told.covered {
            let missing = told_losses(it.losses);
            return Ok(Share { times_s: it.since_s..it.until_s, step_s: it.step_s, missing, rows });
        }
    }
    Err(Misunderstood::Unended.into())
}

fn read(
    columns: &[u8],
    bytes: u32,
    mut give: impl FnMut(u32, Values),
) -> Result<(), Misunderstood> {
    let columns = decompress(columns, bytes as usize)?;
    merge(vec![Reader::new(&columns)?], |_| true, |id, sum| give(id, sum.take()))?;
    Ok(())
}

pub fn series(
    plan: &Plan,
    measures: &[Measure],
    asked: &Select,
    ways: Vec<u64>,
) -> wire::SeriesAsk {
    wire::SeriesAsk {
        since_s: plan.times_s.start,
        until_s: plan.times_s.end,
        step_s: plan.step_s,
        level: plan.level as u32,
        select: Some(select(asked)),
        measures: measures.iter().map(|it| it.name().to_owned()).collect(),
        observed: Some(wire::Ways { ways }),
    }
}

/// # Errors
/// It has no steps, or too many.
pub fn plan(it: &wire::SeriesAsk) -> Result<Plan, Status> {
    let level = Level::ALL.get(it.level as usize).copied();
    let wrong = || Status::invalid_argument("no such level, or more steps than there can be");
    let plan = Plan {
        level: level.ok_or_else(wrong)?,
        step_s: it.step_s,
        times_s: it.since_s..it.until_s,
    };
    if plan.is_sound() { Ok(plan) } else { Err(wrong()) }
}

/// # Errors
/// It cannot be compressed.
pub fn steps(it: Steps) -> std::io::Result<wire::Steps> {
    let mut writer = Writer::default();
    for (number, values) in it.sums.iter().enumerate().filter(|(_, values)| !values.is_empty()) {
        writer.push(number as u32, values);
    }
    let columns = writer.finish();
    Ok(wire::Steps {
        columns: compress(&columns, ZSTD_LEVEL)?.into(),
        columns_bytes: columns.len() as u32,
        known_s: it.known_s.unwrap_or(0),
        losses: losses(it.missing),
    })
}

/// # Errors
/// It is none.
pub fn told_steps(plan: &Plan, it: wire::Steps) -> Result<Steps, Misunderstood> {
    let mut sums = vec![Values::default(); plan.times().len()];
    read(&it.columns, it.columns_bytes, |number, values| {
        if let Some(sum) = sums.get_mut(number as usize) {
            *sum = values;
        }
    })?;
    let known_s = Some(it.known_s).filter(|it| *it > 0);
    Ok(Steps { sums, known_s, missing: told_losses(it.losses) })
}
