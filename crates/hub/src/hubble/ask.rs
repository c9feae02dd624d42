//! What nodes are asked: of a request's filters as much as the nodes' own can say. It may ask for more than what is wanted,
//! never for less; the hub filters again.

use model::{Filter, Timestamp};
use proto::hubble::flow::{EventTypeFilter, FlowFilter, Workload};
use proto::telemetry::ask::Filter as Pair;

use super::flow::{ACCESS_LOG, DROP, TRACE};
use super::selector::Selector;

/// Filters for nodes, and whether they are all that was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pushed {
    pub pairs: Vec<Pair>,
    pub exact: bool,
}

impl Pushed {
    /// `white`: filters any of which must hold.
    pub fn new(white: &[&FlowFilter]) -> Self {
        let mut pushed = Self::default();
        let mut rest: Vec<FlowFilter> = white.iter().map(|it| (*it).clone()).collect();
        // Keys of either end must hold of one and the same: more than one of them could ask for less.
        let mut either = false;
        for Field { name, values, clear } in FIELDS {
            let sources = all(white, |it| values(it, true));
            let destinations = all(white, |it| values(it, false));
            let both = all(white, |it| {
                let ends: Vec<Vec<String>> =
                    [true, false].into_iter().filter_map(|it_is| values(it, it_is)).collect();
                (!ends.is_empty()).then(|| ends.concat())
            });
            let mut push = |key: String, found: Option<Vec<String>>| {
                found.is_some_and(|it| pushed.push(&key, it))
            };
            let from = push(format!("from_{name}"), sources);
            let to = push(format!("to_{name}"), destinations);
            if from || to {
                rest.iter_mut().for_each(|it| clear(it, from, to));
            } else if !either {
                either = push(name.to_owned(), both);
            }
        }
        let protocols = all(white, protocols);
        if protocols.is_some_and(|it| pushed.push("protocol", it)) {
            rest.iter_mut().for_each(|it| it.protocol.clear());
        }
        let verdicts = all(white, |it| some(&it.verdict, verdict));
        if verdicts.is_some_and(|it| pushed.push("verdict", it)) {
            // The others' meaning differs a little.
            rest.iter_mut().for_each(|it| it.verdict.retain(|it| *it != 2));
        }
        let dns = |it: &FlowFilter| {
            !it.protocol.is_empty() && it.protocol.iter().all(|it| it.eq_ignore_ascii_case("dns"))
        };
        if !white.is_empty() && white.iter().all(|it| dns(it)) {
            if pushed.push("kind", vec!["dns".into()]) {
                rest.iter_mut().for_each(|it| it.protocol.clear());
            }
        } else if all(white, |it| some(&it.event_type, kinds))
            .is_some_and(|it| pushed.push("kind", it))
        {
            rest.iter_mut().for_each(|it| it.event_type.retain(|it| it.match_sub_type));
        }
        pushed.exact = match &rest[..] {
            [] => true,
            [rest] => *rest == FlowFilter::default(),
            _ => false,
        };
        pushed
    }

    pub fn times(&mut self, since: Option<Timestamp>, until: Option<Timestamp>) {
        for (key, time) in [("since", since), ("until", until)] {
            if let Some(time) = time {
                self.pairs.push(Pair { key: key.into(), value: time.to_string() });
            }
        }
    }

    /// Whether nodes can be asked so.
    fn push(&mut self, key: &str, mut values: Vec<String>) -> bool {
        values.sort();
        values.dedup();
        let understood =
            !values.is_empty() && Filter::parse(values.iter().map(|it| (key, &**it))).is_ok();
        if understood {
            let pair = |value| Pair { key: key.to_owned(), value };
            self.pairs.extend(values.into_iter().map(pair));
        }
        understood
    }
}

/// The values of all filters together, if each has some.
fn all(
    white: &[&FlowFilter],
    values: impl Fn(&FlowFilter) -> Option<Vec<String>>,
) -> Option<Vec<String>> {
    let lists: Option<Vec<Vec<String>>> = white.iter().map(|it| values(it)).collect();
    lists.map(|it| it.concat()).filter(|it| !it.is_empty())
}

/// A key that has forms for source, destination and either end.
struct Field {
    name: &'static str,
    /// Of the source, or of the destination; `None`: it has none, or nodes cannot be asked for one of them.
    values: fn(&FlowFilter, bool) -> Option<Vec<String>>,
    /// What was said exactly, of source and destination.
    clear: fn(&mut FlowFilter, bool, bool),
}

/// The ones that tell most apart come first.
const FIELDS: [Field; 7] = [
    Field {
        name: "pod",
        values: |it, source| {
            some(side(source, &it.source_pod, &it.destination_pod), |it| {
                let (namespace, name) = split(it);
                match (namespace, name) {
                    (_, "") => None,
                    ("", name) => Some(name.to_owned()),
                    (namespace, name) => Some(format!("{namespace}/{name}")),
                }
            })
        },
        clear: |it, from, to| wipe(from, to, &mut it.source_pod, &mut it.destination_pod),
    },
    Field {
        name: "namespace",
        values: |it, source| {
            let asked = side(source, &it.source_pod, &it.destination_pod);
            // Otherwise pods were asked for, and that says more.
            let coarse = asked.iter().any(|it| split(it).1.is_empty());
            some(if coarse { asked } else { &[] }, |it| {
                Some(split(it).0).filter(|it| !it.is_empty()).map(str::to_owned)
            })
        },
        clear: |it, from, to| {
            // A prefix of names may stand behind it.
            let whole = |all: &[String]| all.iter().all(|it| split(it).1.is_empty());
            let (from, to) = (from && whole(&it.source_pod), to && whole(&it.destination_pod));
            wipe(from, to, &mut it.source_pod, &mut it.destination_pod);
        },
    },
    Field {
        name: "workload",
        values: |it, source| {
            let text = |it: &Workload| match (&*it.kind, &*it.name) {
                (_, "") => None,
                ("", name) => Some(name.to_owned()),
                (kind, name) => Some(format!("{kind}/{name}")),
            };
            some(side(source, &it.source_workload, &it.destination_workload), text)
        },
        clear: |it, from, to| wipe(from, to, &mut it.source_workload, &mut it.destination_workload),
    },
    Field {
        name: "service",
        values: |it, source| {
            some(side(source, &it.source_service, &it.destination_service), |it| match split(it) {
                ("", name) => Some(name.to_owned()),
                (namespace, name) => Some(format!("{namespace}/{name}")),
            })
        },
        clear: |it, from, to| wipe(from, to, &mut it.source_service, &mut it.destination_service),
    },
    Field {
        name: "label",
        values: |it, source| {
            some(side(source, &it.source_label, &it.destination_label), |it| {
                Selector::parse(it).ok()?.plain()
            })
        },
        clear: |it, from, to| wipe(from, to, &mut it.source_label, &mut it.destination_label),
    },
    Field {
        name: "ip",
        values: |it, source| {
            some(side(source, &it.source_ip, &it.destination_ip), |it| Some(it.clone()))
        },
        clear: |it, from, to| wipe(from, to, &mut it.source_ip, &mut it.destination_ip),
    },
    Field {
        name: "port",
        values: |it, source| {
            some(side(source, &it.source_port, &it.destination_port), |it| Some(it.clone()))
        },
        clear: |it, from, to| wipe(from, to, &mut it.source_port, &mut it.destination_port),
    },
];

fn side<'a, T>(source: bool, of_source: &'a [T], of_destination: &'a [T]) -> &'a [T] {
    if source { of_source } else { of_destination }
}

fn wipe<T>(from: bool, to: bool, source: &mut Vec<T>, destination: &mut Vec<T>) {
    if from {
        source.clear();
    }
    if to {
        destination.clear();
    }
}

/// As [`super::filter`] understands it.
fn split(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or(("default", text))
}

fn some<T, V: Into<Texts>>(values: &[T], text: impl Fn(&T) -> Option<V>) -> Option<Vec<String>> {
    let all: Option<Vec<Vec<String>>> =
        values.iter().map(|it| text(it).map(|it| it.into().0)).collect();
    all.map(|it| it.concat()).filter(|it| !it.is_empty())
}

/// One text, or some.
struct Texts(Vec<String>);

impl From<String> for Texts {
    fn from(text: String) -> Self {
        Self(vec![text])
    }
}

impl From<&[&str]> for Texts {
    fn from(texts: &[&str]) -> Self {
        Self(texts.iter().map(|it| (*it).to_owned()).collect())
    }
}

fn protocols(it: &FlowFilter) -> Option<Vec<String>> {
    some(&it.protocol, |it| {
        let it = it.to_lowercase();
        Some(match &*it {
            "icmp" => Texts::from(&["icmp", "icmpv6"][..]),
            "icmpv4" => Texts::from(&["icmp"][..]),
            "tcp" | "udp" | "sctp" | "icmpv6" => Texts::from(it),
            // What is said within them.
            _ => return None,
        })
    })
}

fn verdict(number: &i32) -> Option<&'static [&'static str]> {
    match number {
        1 => Some(&["forwarded"]),
        2 => Some(&["dropped"]),
        3 => Some(&["error", "failed"]),
        _ => None,
    }
}

fn kinds(event: &EventTypeFilter) -> Option<&'static [&'static str]> {
    match event.r#type {
        DROP => Some(&["drop"]),
        TRACE => Some(&["connection", "flow"]),
        ACCESS_LOG => Some(&["dns"]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(white: &[FlowFilter], expected: &[(&str, &str)], exact: bool) {
        let pushed = Pushed::new(&white.iter().collect::<Vec<_>>());
        let pairs: Vec<_> = pushed.pairs.iter().map(|it| (&*it.key, &*it.value)).collect();
        assert_eq!((&pairs[..], pushed.exact), (expected, exact), "{white:?}");
    }

    fn strings(all: &[&str]) -> Vec<String> {
        all.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn one_filter_is_asked_as_it_is() {
        check(&[], &[], true);
        let pods = FlowFilter { source_pod: strings(&["shop/cart", "db"]), ..Default::default() };
        check(&[pods], &[("from_pod", "default/db"), ("from_pod", "shop/cart")], true);
        let all = FlowFilter {
            destination_pod: strings(&["shop/"]),
            destination_port: strings(&["80"]),
            protocol: strings(&["TCP"]),
            ..Default::default()
        };
        let expected = [("to_namespace", "shop"), ("to_port", "80"), ("protocol", "tcp")];
        check(&[all], &expected, true);
        let mixed = FlowFilter { source_pod: strings(&["shop/", "a/b"]), ..Default::default() };
        check(&[mixed], &[("from_namespace", "a"), ("from_namespace", "shop")], false);
    }

    #[test]
    fn what_nodes_cannot_be_asked_is_left_to_the_hub() {
        let query = FlowFilter { dns_query: strings(&[".*"]), ..Default::default() };
        check(&[query], &[], false);
        let labels = FlowFilter { source_label: strings(&["a in (b,c)"]), ..Default::default() };
        check(&[labels], &[], false);
        let errors = FlowFilter { verdict: vec![3, 2], ..Default::default() };
        let expected = [("verdict", "dropped"), ("verdict", "error"), ("verdict", "failed")];
        check(&[errors], &expected, false);
        let dropped = FlowFilter { verdict: vec![2], ..Default::default() };
        check(&[dropped], &[("verdict", "dropped")], true);
        // One that no record has.
        check(&[FlowFilter { verdict: vec![4], ..Default::default() }], &[], false);
        let kinds = EventTypeFilter { r#type: 1, ..Default::default() };
        let drops = FlowFilter { event_type: vec![kinds], ..Default::default() };
        check(&[drops], &[("kind", "drop")], true);
        let dns = FlowFilter { protocol: strings(&["dns"]), ..Default::default() };
        check(&[dns], &[("kind", "dns")], true);
    }

    #[test]
    fn of_two_filters_what_both_ask() {
        // `--pod shop/cart --port 80`.
        let left = FlowFilter {
            source_pod: strings(&["shop/cart"]),
            source_port: strings(&["80"]),
            ..Default::default()
        };
        let right = FlowFilter {
            destination_pod: strings(&["shop/cart"]),
            destination_port: strings(&["80"]),
            ..Default::default()
        };
        check(&[left.clone(), right], &[("pod", "shop/cart")], false);
        let other = FlowFilter { source_pod: strings(&["shop/db"]), ..Default::default() };
        let expected = [("from_pod", "shop/cart"), ("from_pod", "shop/db")];
        check(&[left.clone(), other], &expected, false);
        check(&[left, FlowFilter::default()], &[], false);
    }
}
