//! What `/metrics` shows, and what each metric means.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daemon::metrics::{Families, Labels, labels, with};
use daemon::{export, tls};
use model::status::Cost;
use reflector::{Cause, Counters, Resource};

use super::Sources;
use crate::hubble::{Hubble, Method};
use crate::ingest;
use crate::inventory::Totals;
use crate::replica;
use crate::store::{Facts, Level, WindowFacts};
use crate::stream::Refusal;

/// Name, type and meaning of every metric, as `# HELP` and `# TYPE` lines: the reference.
pub fn metrics_reference() -> String {
    daemon::metrics::reference(View::default())
}

/// All values at one moment.
#[derive(Debug, Default)]
pub struct View(Option<Values>);

struct Values {
    sources: Arc<Sources>,
    totals: Totals,
    history: Facts,
    /// Sums that are kept of questions.
    sums: WindowFacts,
    cost: Cost,
    certificate: Option<tls::Facts>,
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.totals.fmt(f)
    }
}

impl View {
    pub fn collect(sources: &Arc<Sources>) -> Self {
        Self(Some(Values {
            sources: sources.clone(),
            totals: sources.inventory.totals(),
            history: sources.ingest.store().facts(),
            sums: sources.desk.query().sums_facts(),
            cost: sources.meter.cost(),
            certificate: sources.tls.as_ref().map(|tls| tls.facts()),
        }))
    }

    fn watches(&self, out: &mut Families<'_>) -> fmt::Result {
        let of = |value: fn(&Counters) -> &AtomicU64| {
            let values = self.0.iter().flat_map(move |it| {
                Resource::ALL.into_iter().map(move |resource| {
                    (named(resource), get(value(it.sources.watches.of(resource))))
                })
            });
            values.collect::<Vec<_>>()
        };
        let resources = || self.0.iter().flat_map(|it| &it.totals.resources);
        out.gauge(
            "amphipod_hub_objects",
            "Objects of the cluster that are known.",
            resources().map(|(resource, count, _)| (named(*resource), *count as u64)),
        )?;
        out.gauge(
            "amphipod_hub_watch_up",
            "1 if the resource has been listed and its watch goes on.",
            resources().map(|(resource, _, state)| {
                (named(*resource), u64::from(state.listed && state.error.is_empty()))
            }),
        )?;
        out.counter(
            "amphipod_hub_watch_applied_total",
            "Objects that the API server told as new or changed, those of lists included.",
            of(|it| &it.applied),
        )?;
        out.counter(
            "amphipod_hub_watch_deleted_total",
            "Objects that the API server told as deleted.",
            of(|it| &it.deleted),
        )?;
        out.counter(
            "amphipod_hub_watch_bytes_total",
            "Bytes that the API server sent, without TLS and HTTP around them.",
            of(|it| &it.bytes),
        )?;
        out.counter(
            "amphipod_hub_watch_lists_total",
            "Lists that were begun, the first one included.",
            of(|it| &it.lists),
        )?;
        out.counter(
            "amphipod_hub_watch_expired_total",
            "Lists that had to be begun because the API server no longer knew where the watch was (410).",
            of(|it| &it.expired),
        )?;
        out.counter(
            "amphipod_hub_watch_reconnects_total",
            "Watches that were opened where another one had ended.",
            of(|it| &it.reconnects),
        )?;
        out.counter(
            "amphipod_hub_watch_failures_total",
            "Requests that were refused, or broke off.",
            of(|it| &it.failures),
        )?;
        out.counter(
            "amphipod_hub_watch_malformed_total",
            "Objects and events that could not be read, and were left out.",
            of(|it| &it.malformed),
        )?;
        let hostile = self.0.iter().flat_map(|it| {
            Resource::ALL.into_iter().flat_map(move |resource| {
                Cause::ALL.into_iter().map(move |cause| {
                    let count = it.sources.watches.of(resource).hostile(cause);
                    (with(named(resource), "cause", cause.name()), count)
                })
            })
        });
        out.counter(
            "amphipod_hub_watch_left_out_total",
            "Parts of objects that were left out, or whole ones, by cause.",
            hostile,
        )
    }

    fn inventory(&self, out: &mut Families<'_>) -> fmt::Result {
        let value = |value: fn(&Values) -> u64| self.0.iter().map(move |it| (vec![], value(it)));
        out.gauge(
            "amphipod_hub_ready",
            "1 if every resource has been listed.",
            value(|it| u64::from(it.sources.inventory.is_complete())),
        )?;
        out.gauge(
            "amphipod_hub_addresses",
            "Addresses that somebody has.",
            value(|it| it.totals.addresses as u64),
        )?;
        out.gauge(
            "amphipod_hub_strings",
            "Texts and parts that objects have in common, each held once.",
            value(|it| it.totals.strings as u64),
        )?;
        out.gauge(
            "amphipod_hub_sequence",
            "Number of the last change.",
            value(|it| it.totals.sequence),
        )?;
        out.gauge(
            "amphipod_hub_log_entries",
            "Changes that are kept for agents that come back.",
            value(|it| it.totals.log_entries as u64),
        )?;
        out.counter(
            "amphipod_hub_unchanged_total",
            "Objects that were told anew without a change that concerns anybody.",
            value(|it| it.totals.store.unchanged),
        )?;
        out.counter(
            "amphipod_hub_duplicate_addresses_total",
            "Addresses that a pod said to have while another one did.",
            value(|it| it.totals.store.duplicates),
        )
    }

    fn agents(&self, out: &mut Families<'_>) -> fmt::Result {
        let value = |value: fn(&Values) -> u64| self.0.iter().map(move |it| (vec![], value(it)));
        out.gauge(
            "amphipod_hub_agents",
            "Agents that are told.",
            value(|it| it.totals.agents as u64),
        )?;
        out.gauge(
            "amphipod_hub_agents_waiting",
            "Agents that wait for their turn to be told everything.",
            value(|it| get(&it.sources.agents.counters.waiting)),
        )?;
        out.gauge(
            "amphipod_hub_interest",
            "Addresses that some agent asked for.",
            value(|it| it.totals.wanted_addresses as u64),
        )?;
        out.gauge(
            "amphipod_hub_waiting_changes",
            "Changes that have not been sent yet, summed over agents.",
            value(|it| it.totals.waiting as u64),
        )?;
        out.counter(
            "amphipod_hub_streams_total",
            "Streams that agents opened.",
            value(|it| get(&it.sources.agents.counters.streams)),
        )?;
        out.counter(
            "amphipod_hub_resumes_total",
            "Agents that were told the difference to what they had.",
            value(|it| get(&it.sources.inventory.counters.resumes)),
        )?;
        out.counter(
            "amphipod_hub_accounts_total",
            "Agents that were told everything that they want.",
            value(|it| get(&it.sources.inventory.counters.accounts)),
        )?;
        out.counter(
            "amphipod_hub_items_total",
            "Objects and answers that were sent.",
            value(|it| it.sources.items()),
        )?;
        out.counter(
            "amphipod_hub_item_bytes_total",
            "Their bytes before compression.",
            value(|it| get(&it.sources.inventory.counters.item_bytes)),
        )?;
        out.counter(
            "amphipod_hub_sent_bytes_total",
            "Bytes that were sent to agents, without TLS around them.",
            value(|it| get(&it.sources.agents.counters.bytes_sent)),
        )?;
        out.counter(
            "amphipod_hub_marked_total",
            "Changes that an agent had to be told of, once for each agent.",
            value(|it| get(&it.sources.inventory.counters.marked)),
        )?;
        out.counter(
            "amphipod_hub_coalesced_total",
            "Changes that were not sent because a newer state of the same was.",
            value(|it| get(&it.sources.inventory.counters.coalesced)),
        )?;
        let lag = self.0.iter().map(|it| (vec![], it.sources.agents.counters.lag.distribution()));
        out.histogram(
            "amphipod_hub_lag_seconds",
            "From a change to when it was handed to the agent's connection.",
            lag,
        )?;
        let refused = self.0.iter().flat_map(|it| {
            let counts = &it.sources.agents.counters.refused;
            Refusal::ALL.into_iter().map(move |refusal| {
                (labels([("reason", refusal.name())]), get(&counts[refusal as usize]))
            })
        });
        out.counter(
            "amphipod_hub_refused_total",
            "Streams that were refused, by reason.",
            refused,
        )?;
        out.counter(
            "amphipod_hub_refused_addresses_total",
            "Addresses that agents asked for beyond inventory.max_addresses.",
            value(|it| get(&it.sources.inventory.counters.refused_addresses)),
        )?;
        out.counter(
            "amphipod_hub_malformed_total",
            "Parts of agents' messages that could not be understood.",
            value(|it| get(&it.sources.agents.counters.malformed)),
        )?;
        out.counter(
            "amphipod_hub_handshake_failures_total",
            "Connections that ended before an agent could speak.",
            value(|it| get(&it.sources.agents.counters.handshake_failures)),
        )
    }

    fn ingest(&self, out: &mut Families<'_>) -> fmt::Result {
        let count = |value: fn(&ingest::Counters) -> &AtomicU64| {
            self.0.iter().map(move |it| (vec![], get(value(&it.sources.ingest.counters))))
        };
        out.counter(
            "amphipod_hub_batches_total",
            "Batches of rows that were taken.",
            count(|it| &it.batches),
        )?;
        out.counter(
            "amphipod_hub_rows_total",
            "Rows of intervals that were taken.",
            count(|it| &it.rows),
        )?;
        out.counter(
            "amphipod_hub_duplicate_batches_total",
            "Batches that had been taken before, and were not counted again.",
            count(|it| &it.duplicates),
        )?;
        out.counter(
            "amphipod_hub_malformed_batches_total",
            "Reports that could not be understood, or of which a part could not.",
            count(|it| &it.malformed),
        )?;
        out.counter(
            "amphipod_hub_untimely_rows_total",
            "Rows that were left out because their time cannot be: a clock is wrong.",
            count(|it| &it.untimely),
        )?;
        out.counter(
            "amphipod_hub_lost_rows_total",
            "Rows that agents told to be lost before they could be sent.",
            count(|it| &it.lost),
        )?;
        out.counter(
            "amphipod_hub_flush_failures_total",
            "Tries to store rows that failed; they are tried again, and not acknowledged before.",
            count(|it| &it.flush_failures),
        )?;
        out.counter(
            "amphipod_hub_refused_reports_total",
            "Streams of reports that were refused.",
            count(|it| &it.refused),
        )?;
        out.counter(
            "amphipod_hub_edge_overflow_total",
            "Keys of rows that found no room (history.max_edges) and were counted as one.",
            self.0.iter().map(|it| (vec![], it.sources.ingest.catalogue.overflow())),
        )?;
        let doors = || self.0.iter().map(|it| &it.sources.access.counters);
        out.counter(
            "amphipod_hub_access_total",
            "Requests at the hub's door: allowed, refused (nobody, or a token that is not accepted), unavailable (the API server does not answer).",
            doors().flat_map(|it| {
                let outcomes = [
                    ("allowed", &it.allowed),
                    ("refused", &it.refused),
                    ("unavailable", &it.unavailable),
                ];
                outcomes.map(|(outcome, count)| (labels([("outcome", outcome)]), get(count)))
            }),
        )?;
        out.counter(
            "amphipod_hub_sessions_forgotten_total",
            "Sessions that somebody ended, and that may count again because there was no room to remember it.",
            doors().map(|it| (vec![], get(&it.forgotten))),
        )?;
        let observers = || self.0.iter().map(|it| &it.sources.observers);
        out.gauge(
            "amphipod_hub_observed_agents",
            "Agents that can be asked for records.",
            observers().map(|it| (vec![], it.agents() as u64)),
        )?;
        out.gauge(
            "amphipod_hub_listeners",
            "Readers of live records.",
            observers().map(|it| (vec![], it.listeners() as u64)),
        )?;
        out.counter(
            "amphipod_hub_unread_records_total",
            "Records that a reader was too slow for; it was told.",
            observers().map(|it| (vec![], get(&it.lost))),
        )?;
        out.gauge(
            "amphipod_hub_waiting_rows",
            "Rows that wait to be stored.",
            self.0.iter().map(|it| (vec![], it.sources.ingest.waiting() as u64)),
        )
    }

    fn history(&self, out: &mut Families<'_>) -> fmt::Result {
        let value =
            |value: fn(&Facts) -> u64| self.0.iter().map(move |it| (vec![], value(&it.history)));
        let levels = |value: fn(&Facts, Level) -> u64| {
            self.0.iter().flat_map(move |it| {
                Level::ALL.into_iter().map(move |level| {
                    (labels([("level", level.name())]), value(&it.history, level))
                })
            })
        };
        out.gauge(
            "amphipod_hub_history_up",
            "1: what agents tell can be stored; 0: it cannot, they keep it.",
            self.0.iter().map(|it| (vec![], u64::from(it.sources.ingest.failing().is_none()))),
        )?;
        out.gauge(
            "amphipod_hub_history_rows",
            "Rows that are kept, by the length of their interval.",
            levels(|it, level| it.rows[level as usize]),
        )?;
        out.gauge(
            "amphipod_hub_history_blocks",
            "Blocks in which they are kept.",
            levels(|it, level| it.blocks[level as usize]),
        )?;
        out.gauge(
            "amphipod_hub_history_disk_bytes",
            "Size of the history's files; 0: it is in memory only.",
            value(|it| it.disk_bytes),
        )?;
        out.counter(
            "amphipod_hub_history_disk_evictions_total",
            "Blocks that left the file before their time, for it was full (history.disk).",
            value(|it| it.disk_evicted),
        )?;
        let held = |value: fn(&WindowFacts) -> u64| {
            self.0.iter().flat_map(move |it| {
                [("blocks", &it.history.window), ("sums", &it.sums)]
                    .map(|(kind, facts)| (labels([("kind", kind)]), value(facts)))
            })
        };
        out.gauge(
            "amphipod_hub_history_memory_bytes",
            "What is held of history in memory: blocks as they are stored, and sums that were made for a question and serve the next ones.",
            held(|it| it.bytes),
        )?;
        out.gauge(
            "amphipod_hub_history_max_memory_bytes",
            "The most that they may take (history.memory has both).",
            held(|it| it.most_bytes),
        )?;
        out.counter(
            "amphipod_hub_history_evictions_total",
            "Blocks that had to leave memory for newer ones (without a file they are gone), and sums that had to for others.",
            held(|it| it.evicted),
        )
    }

    fn hubble(&self, out: &mut Families<'_>) -> fmt::Result {
        let served = || self.0.iter().filter_map(|it| it.sources.hubble.as_deref());
        let value = |value: fn(&Hubble) -> u64| served().map(move |it| (vec![], value(it)));
        let requests = served().flat_map(|it| {
            Method::ALL.into_iter().map(move |method| {
                let count = get(&it.counters.requests[method as usize]);
                (labels([("method", method.name())]), count)
            })
        });
        out.counter(
            "amphipod_hub_hubble_requests_total",
            "Requests of Hubble's clients.",
            requests,
        )?;
        out.counter(
            "amphipod_hub_hubble_refused_total",
            "Requests that asked for what is not known here, or while too many others looked on.",
            value(|it| get(&it.counters.refused)),
        )?;
        out.gauge(
            "amphipod_hub_hubble_streams",
            "Streams of flows that are open.",
            value(|it| it.streams() as u64),
        )?;
        out.counter(
            "amphipod_hub_hubble_flows_total",
            "Flows that were told to Hubble's clients.",
            value(|it| get(&it.counters.sessions.flows)),
        )?;
        out.counter(
            "amphipod_hub_hubble_lost_total",
            "Records that Hubble's clients were told they missed.",
            value(|it| get(&it.counters.sessions.lost)),
        )?;
        out.counter(
            "amphipod_hub_hubble_malformed_total",
            "Records of agents that could not be read, and were left out of what Hubble's clients were told.",
            value(|it| get(&it.counters.sessions.malformed)),
        )?;
        out.counter(
            "amphipod_hub_hubble_handshake_failures_total",
            "Connections of Hubble's clients that did not come about.",
            value(|it| get(&it.counters.handshake_failures)),
        )?;
        out.counter(
            "amphipod_hub_hubble_sent_bytes_total",
            "Bytes that were sent to Hubble's clients, without TLS around them.",
            value(|it| get(&it.counters.bytes_sent)),
        )
    }

    fn replicas(&self, out: &mut Families<'_>) -> fmt::Result {
        let facts = || self.0.iter().flat_map(|it| it.sources.replicas.facts());
        let value = |value: fn(&replica::Counters) -> &AtomicU64| {
            self.0.iter().map(move |it| (vec![], get(value(&it.sources.replicas.counters))))
        };
        out.gauge(
            "amphipod_hub_replica_up",
            "1 if this other replica of the hub answers.",
            facts().map(|it| {
                let up = u64::from(it.error.is_empty());
                (vec![("replica", it.name.to_string().into())], up)
            }),
        )?;
        out.counter(
            "amphipod_hub_replica_questions_total",
            "Questions that other replicas were asked.",
            value(|it| &it.asked),
        )?;
        out.counter(
            "amphipod_hub_replica_unanswered_total",
            "Those that were not answered, or not in time: answers that lacked a replica said so.",
            value(|it| &it.unanswered),
        )?;
        out.counter(
            "amphipod_hub_replica_unsure_total",
            "Agents that came while a replica could not be asked how far it had heard them: some of their rows may count twice.",
            value(|it| &it.unsure),
        )
    }

    fn process(&self, out: &mut Families<'_>) -> fmt::Result {
        let version = labels([("version", env!("CARGO_PKG_VERSION"))]);
        out.gauge("amphipod_build_info", "1: this version runs.", [(version, 1_u64)])?;
        let certificate = self.0.as_ref().and_then(|it| it.certificate.as_ref());
        tls::Facts::write(certificate, out)?;
        let cost = |value: fn(&Cost) -> f64| self.0.iter().map(move |it| (vec![], value(&it.cost)));
        out.counter(
            "process_cpu_seconds_total",
            "User and system time of this process.",
            cost(|it| it.cpu_seconds),
        )?;
        out.gauge(
            "process_resident_memory_bytes",
            "Resident memory of this process.",
            cost(|it| it.rss_bytes as f64),
        )?;
        out.gauge(
            "process_resident_memory_peak_bytes",
            "The most that its resident memory has been.",
            cost(|it| it.peak_rss_bytes as f64),
        )
    }
}

impl daemon::metrics::View for View {
    fn write(&self, out: &mut Families<'_>) -> fmt::Result {
        self.watches(out)?;
        self.inventory(out)?;
        self.agents(out)?;
        self.ingest(out)?;
        self.history(out)?;
        self.hubble(out)?;
        self.replicas(out)?;
        let exports = self.0.as_ref().map(|it| it.sources.exports.facts());
        export::Facts::write(exports.as_deref().unwrap_or_default(), out)?;
        self.process(out)
    }
}

fn named(resource: Resource) -> Labels<'static> {
    labels([("resource", resource.name())])
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
