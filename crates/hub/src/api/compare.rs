//! The same question about an earlier time of the same length.

use std::ops::Range;
use std::str::FromStr;

use axum::http::StatusCode;
use daemon::http::Problem;
use model::Timestamp;
use serde::Serialize;

use super::Sources;
use super::request::{COMPARE, Request, bad, length};
use super::values::Sight;
use crate::access::Person;
use crate::query::{Along, Asked, Name, Others, Plan, Select};
use crate::replica::earlier;

/// Which earlier time.
#[derive(Clone, Debug, PartialEq)]
pub enum Compare {
    /// The one that ends where the asked one begins.
    Previous,
    /// So many seconds before.
    Back(u64),
    From(Timestamp),
    /// The one that ends with the last deploy.
    Deploy(Name),
}

impl FromStr for Compare {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "previous" {
            return Ok(Self::Previous);
        }
        if let Some(workload) = text.strip_prefix("deploy:") {
            return workload.parse().map(Self::Deploy).map_err(drop);
        }
        match length(text.strip_prefix('-').unwrap_or(text)) {
            Some(back) if back.as_secs() > 0 => Ok(Self::Back(back.as_secs())),
            Some(_) => Err(()),
            None => text.parse().map(Self::From).map_err(drop),
        }
    }
}

/// Something of the asked time, and of the earlier one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Both<T> {
    #[serde(flatten)]
    pub now: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier: Option<T>,
}

/// What is asked of one time.
pub struct Moment {
    pub times_s: Range<u64>,
    pub sight: Sight,
    /// What other replicas have of it, if they were asked.
    pub others: Others,
}

impl<T> Both<T> {
    pub fn each<U, E>(self, mut make: impl FnMut(T) -> Result<U, E>) -> Result<Both<U>, E> {
        Ok(Both { now: make(self.now)?, earlier: self.earlier.map(make).transpose()? })
    }

    pub fn show<'a, U>(&'a self, make: impl Fn(&'a T) -> U) -> Both<U> {
        Both { now: make(&self.now), earlier: self.earlier.as_ref().map(make) }
    }
}

impl Sources {
    /// The times that are asked for, and what who asks may know of them.
    pub(super) async fn times(
        &self,
        request: &Request,
        person: &Person,
    ) -> Result<Both<Moment>, Problem> {
        let now = request.times_s(Timestamp::now())?;
        let earlier = request.parsed::<Compare>(COMPARE.name);
        let earlier = earlier.map(|it| self.earlier(&it, &now, person)).transpose()?;
        // Replicas that are missing are named with the answer.
        let (nodes, _) = self.replicas.nodes(&self.ingest, false).await;
        let sighted = |times_s: Range<u64>| {
            let sight = self.sight(&nodes, &person.scope, &times_s);
            Ok(Moment { times_s, sight, others: Others::default() })
        };
        Both { now, earlier }.each(sighted)
    }

    /// Asks the other replicas what they have of these times.
    pub(super) fn shared(&self, times: Both<Moment>, select: &Select) -> Both<Moment> {
        let ask =
            |it: Moment| Moment { others: self.replicas.sums(it.times_s.clone(), select), ..it };
        Both { now: ask(times.now), earlier: times.earlier.map(ask) }
    }

    /// The same of a series: its steps are made of what the oldest replica has.
    pub(super) async fn planned(
        &self,
        times: Both<Moment>,
        asked: &Asked,
    ) -> Both<(Plan, Option<Along>, Sight)> {
        let mut oldest_s = self.ingest.store().oldest_s();
        if !self.replicas.are_none() {
            let others = self.replicas.describe(false, false).await.answers;
            oldest_s = others.iter().fold(oldest_s, |oldest_s, (_, it)| earlier(oldest_s, it));
        }
        let plan = |it: Moment| {
            let plan = Plan::new(&it.times_s, asked.step_s, oldest_s);
            let along = self.replicas.series(&plan, &asked.measures, &asked.select);
            (plan, along, it.sight)
        };
        Both { now: plan(times.now), earlier: times.earlier.map(plan) }
    }

    fn earlier(
        &self,
        compare: &Compare,
        now: &Range<u64>,
        person: &Person,
    ) -> Result<Range<u64>, Problem> {
        let last_deploy_s = |name: &Name| {
            person.must_see(&name.namespace)?;
            let deploys = self.inventory.deploys_of(&name.namespace, &name.kind, &name.name);
            let last = deploys.iter().find(|deploy| deploy.time_s < now.end);
            last.map(|deploy| deploy.time_s).ok_or_else(|| {
                let Name { namespace, kind, name } = name;
                let detail = format!(
                    "compare: no deploy of {namespace}/{kind}/{name} is known: the cluster has no ReplicaSet of it from before this time"
                );
                Problem::new(StatusCode::NOT_FOUND, detail)
            })
        };
        window(compare, now, last_deploy_s)
    }
}

fn window(
    compare: &Compare,
    now: &Range<u64>,
    last_deploy_s: impl FnOnce(&Name) -> Result<u64, Problem>,
) -> Result<Range<u64>, Problem> {
    let length = now.end - now.start;
    let before = |until: u64| until.saturating_sub(length)..until;
    let earlier = match compare {
        Compare::Previous => before(now.start),
        Compare::Back(back) => before(now.end.saturating_sub(*back)),
        Compare::From(time) => {
            let since = time.0 / 1_000_000_000;
            since..since.saturating_add(length)
        }
        Compare::Deploy(name) => before(last_deploy_s(name)?),
    };
    match earlier.start < now.start && !earlier.is_empty() {
        true => Ok(earlier),
        false => Err(bad("compare: expected a time that is earlier than since")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::moment;
    use super::*;

    #[test]
    fn an_earlier_time_is_as_long() {
        let now = 1_800_000_000..1_800_000_900;
        let check = |text: &str, expected: Option<Range<u64>>| {
            let deploy = |name: &Name| match &*name.name {
                "cart" => Ok(1_799_999_000),
                _ => Err(bad("none")),
            };
            let found = text.parse().ok();
            let found = found.and_then(|it: Compare| window(&it, &now, deploy).ok());
            assert_eq!(found, expected, "{text}");
        };
        check("previous", Some(1_799_999_100..1_800_000_000));
        check("1d", Some(1_799_913_600..1_799_914_500));
        check("-1h", Some(1_799_996_400..1_799_997_300));
        check("2027-01-15T07:00:00Z", Some(1_799_996_400..1_799_997_300));
        check("deploy:shop/Deployment/cart", Some(1_799_998_100..1_799_999_000));
        check("deploy:shop/Deployment/web", None);
        check("2027-01-15T08:00:00Z", None);
        for text in ["", "0s", "yesterday", "deploy:", "deploy:cart", "-", "d"] {
            assert_eq!(text.parse::<Compare>(), Err(()), "{text}");
        }
        assert_eq!(moment("-1d", Timestamp(86_400_000_000_000)), Some(Timestamp(0)));
    }
}
