//! What a client wants to see.

use model::{Scope, Timestamp};
use proto::hubble::observer::GetFlowsRequest;
use proto::telemetry::Ask;
use tonic::Status;

use super::ask::Pushed;
use super::door::must_see;
use super::filter::Filters;
use crate::observe;

/// Flows of those that are kept, in one answer.
pub const MOST: usize = 10_000;

pub struct Request {
    pub follow: bool,
    /// The earliest are wanted.
    pub first: bool,
    /// Of those that are kept.
    pub most: usize,
    /// The client did not say that it wants no more.
    pub all: bool,
    pub until: Option<Timestamp>,
    pub filters: Filters,
    pub ask: Ask,
    pub scope: Scope,
}

impl Request {
    pub fn parse(request: &GetFlowsRequest, scope: Scope) -> Result<Self, Status> {
        let GetFlowsRequest { number, first, follow, .. } = *request;
        if first && follow {
            return Err(Status::invalid_argument("first: not together with follow; leave one out"));
        }
        let filters = Filters::parse(&request.whitelist, &request.blacklist)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let [since, until] = [&request.since, &request.until].map(|it| it.as_ref().map(time));
        filters.namespaces().try_for_each(|it| must_see(&scope, it))?;
        let white: Vec<_> = filters.white.iter().map(|it| &it.asked).collect();
        let mut pushed = Pushed::new(&white);
        pushed.times(since, until);
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let most = match number {
            // What comes from now on.
            0 if follow && since.is_none() => 0,
            0 => MOST,
            number => number.min(MOST),
        };
        let exact = pushed.exact && filters.black.is_empty() && !first;
        // What the hub takes out must not count.
        let last = match (most, exact) {
            (0, _) => None,
            (most, true) => Some(most as u64),
            (_, false) => Some(u64::MAX),
        };
        let ask = Ask { filters: pushed.pairs, follow, last, scope: observe::within(&scope) };
        let all = number == 0 || number > MOST;
        Ok(Self { follow, first, most, all, until, filters, ask, scope })
    }
}

fn time(time: &prost_types::Timestamp) -> Timestamp {
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    let nanos = u64::try_from(time.nanos).unwrap_or(0);
    Timestamp(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}
