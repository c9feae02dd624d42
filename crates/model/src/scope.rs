//! What somebody may see: all, or what has an end in some namespaces.
//!
//! The other end of what is shown keeps what its own side of the connection knows anyway (address and port), and nothing that
//! names it. What is asked for is compared after that: a filter that names what is hidden finds nothing.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::line::{self, Line, Way};
use crate::row::{End, Key};
use crate::{Endpoint, Record};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    All,
    Namespaces(Arc<BTreeSet<Arc<str>>>),
}

impl Scope {
    pub fn of<T: Into<Arc<str>>>(namespaces: impl IntoIterator<Item = T>) -> Self {
        Self::Namespaces(Arc::new(namespaces.into_iter().map(Into::into).collect()))
    }

    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// What is in no namespace is in none that somebody was allowed.
    pub fn has(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(allowed) => allowed.contains(namespace),
        }
    }

    /// Whether an end in this namespace goes without its name.
    fn hides(&self, namespace: &str) -> bool {
        !namespace.is_empty() && !self.has(namespace)
    }

    /// As much of a row's key as is shown; `None`: nothing.
    pub fn key<'a>(&self, key: &'a Key) -> Option<Cow<'a, Key>> {
        let ends = [&key.source, &key.destination];
        if !ends.iter().any(|end| self.has(&end.namespace)) {
            return None;
        }
        if !ends.iter().any(|end| self.hides(&end.namespace)) {
            return Some(Cow::Borrowed(key));
        }
        let mut shown = key.clone();
        if self.hides(&key.source.namespace) {
            shown.source = End::hidden();
        }
        if self.hides(&key.destination.namespace) {
            shown.destination = End::hidden();
            // It is the destination's.
            shown.service = Arc::default();
        }
        Some(Cow::Owned(shown))
    }

    /// As much of a record as is shown; `None`: nothing. The end where it was observed is the one that counts: the
    /// process, the socket and the node belong to it.
    pub fn record<'a>(&self, record: &'a Record) -> Option<Cow<'a, Record>> {
        let namespace = |end: &Endpoint| end.identity.as_ref()?.namespace.clone();
        if self.is_all() {
            return Some(Cow::Borrowed(record));
        }
        namespace(record.local()).filter(|it| self.has(it))?;
        let hides = |end: &Endpoint| namespace(end).is_some_and(|it| self.hides(&it));
        if !hides(record.remote()) {
            return Some(Cow::Borrowed(record));
        }
        let mut shown = record.clone();
        let remote = match record.direction {
            crate::Direction::Egress => &mut shown.destination,
            crate::Direction::Ingress => &mut shown.source,
        };
        remote.identity = None;
        Some(Cow::Owned(shown))
    }

    /// The same of a record as it is told; `None` also where it does not say at which end it was observed.
    pub fn line(&self, mut line: Line) -> Option<Line> {
        if self.is_all() {
            return Some(line);
        }
        let (local, remote) = match line.direction? {
            Way::Egress => (&line.source, &mut line.destination),
            Way::Ingress => (&line.destination, &mut line.source),
        };
        local.namespace.as_deref().filter(|it| self.has(it))?;
        if remote.namespace.as_deref().is_some_and(|it| self.hides(it)) {
            let line::End { ip, port, backend, .. } = *remote;
            *remote = line::End { ip, port, backend, hidden: true, ..line::End::default() };
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, Protocol};

    fn end(namespace: &str, name: &str) -> End {
        let kind = if namespace.is_empty() { End::EXTERNAL } else { "Deployment" };
        End { namespace: namespace.into(), kind: kind.into(), name: name.into(), zone: "z".into() }
    }

    fn key(source: End, destination: End) -> Key {
        Key {
            source,
            destination,
            service: "svc".into(),
            protocol: Protocol::TCP,
            port: 80,
            direction: Direction::Egress,
        }
    }

    #[test]
    fn a_row_shows_the_ends_that_may_be_seen() {
        let scope = Scope::of(["shop"]);
        let check = |source: (&str, &str),
                     destination: (&str, &str),
                     expected: Option<[&str; 3]>| {
            let key = key(end(source.0, source.1), end(destination.0, destination.1));
            let shown = scope.key(&key).map(Cow::into_owned);
            let shown =
                shown.as_ref().map(|it| [&*it.source.name, &*it.destination.name, &*it.service]);
            assert_eq!(shown, expected, "{key:?}");
            assert_eq!(Scope::All.key(&key), Some(Cow::Borrowed(&key)));
        };
        check(("shop", "cart"), ("shop", "db"), Some(["cart", "db", "svc"]));
        check(("shop", "cart"), ("bank", "ledger"), Some(["cart", "hidden", ""]));
        check(("bank", "ledger"), ("shop", "cart"), Some(["hidden", "cart", "svc"]));
        check(("shop", "cart"), ("", "example.org"), Some(["cart", "example.org", "svc"]));
        check(("bank", "ledger"), ("bank", "db"), None);
        check(("bank", "ledger"), ("", "example.org"), None);
        check(("", "a"), ("", "b"), None);
        let none = Scope::of(Vec::<Arc<str>>::new());
        assert_eq!(none.key(&key(end("shop", "a"), end("", "b"))), None);
    }

    #[test]
    fn a_line_is_shown_from_the_end_that_may_be_seen() {
        let scope = Scope::of(["shop"]);
        let end = |namespace: &str| line::End {
            ip: Some([10, 0, 0, 1].into()),
            port: 7,
            namespace: Some(namespace.into()),
            pod: Some("p".into()),
            labels: [("a".into(), "b".into())].into(),
            ..line::End::default()
        };
        let line = |way, source, destination| Line {
            direction: way,
            source: end(source),
            destination: end(destination),
            ..Line::default()
        };
        let check = |way, source, destination, expected: Option<[bool; 2]>| {
            let shown = scope.line(line(way, source, destination));
            let hidden = shown.as_ref().map(|it| [it.source.hidden, it.destination.hidden]);
            assert_eq!(hidden, expected, "{source} {destination}");
            let text = serde_json::to_string(&shown).unwrap();
            assert!(!text.contains("bank"), "{text}");
            if let Some(Line { source: it, .. }) = shown.filter(|it| it.source.hidden) {
                let expected =
                    line::End { ip: it.ip, port: 7, hidden: true, ..line::End::default() };
                assert_eq!(it, expected);
            }
        };
        check(Some(Way::Egress), "shop", "shop", Some([false, false]));
        check(Some(Way::Egress), "shop", "bank", Some([false, true]));
        check(Some(Way::Ingress), "bank", "shop", Some([true, false]));
        // Its other side tells the same.
        check(Some(Way::Ingress), "shop", "bank", None);
        check(Some(Way::Egress), "bank", "bank", None);
        check(None, "shop", "shop", None);
    }
}
