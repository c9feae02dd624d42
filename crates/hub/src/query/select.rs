//! Which rows are asked for.

use std::borrow::Cow;
use std::str::FromStr;

use model::Scope;
use model::row::{End, Key};

/// `NAMESPACE/KIND/NAME`; the namespace of what has none is `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub namespace: String,
    pub kind: String,
    pub name: String,
}

/// What is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?}: expected NAMESPACE/KIND/NAME, such as \"shop/Deployment/cart\" or \"-/External/example.org\""
)]
pub struct NoName(String);

impl Name {
    /// `namespace` as it is written.
    pub fn new(namespace: &str, kind: &str, name: &str) -> Self {
        let namespace = if namespace == "-" { "" } else { namespace };
        Self { namespace: namespace.into(), kind: kind.into(), name: name.into() }
    }

    fn is(&self, end: &End) -> bool {
        *end.name == *self.name && *end.kind == *self.kind && *end.namespace == *self.namespace
    }
}

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let mut parts = text.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(namespace), Some(kind), Some(name)) if !kind.is_empty() && !name.is_empty() => {
                Ok(Self::new(namespace, kind, name))
            }
            _ => Err(NoName(model::text::printable(text.as_bytes()))),
        }
    }
}

/// All of these must hold; what is absent does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// What may be seen: what is hidden is compared as such.
    pub scope: Scope,
    /// Either end in any of them.
    pub namespaces: Vec<String>,
    pub source: Option<Name>,
    pub destination: Option<Name>,
    /// Either end.
    pub workload: Option<Name>,
}

impl Select {
    pub fn matches(&self, key: &Key) -> bool {
        self.scope.key(key).is_some_and(|key| self.holds(&key))
    }

    /// As much of a key that matches as is shown.
    pub fn shown<'a>(&self, key: &'a Key) -> Cow<'a, Key> {
        self.scope.key(key).unwrap_or(Cow::Borrowed(key))
    }

    fn holds(&self, key: &Key) -> bool {
        let ends = [&key.source, &key.destination];
        let within = |end: &&End| self.namespaces.iter().any(|it| *it.as_str() == *end.namespace);
        (self.namespaces.is_empty() || ends.iter().any(within))
            && self.source.as_ref().is_none_or(|it| it.is(&key.source))
            && self.destination.as_ref().is_none_or(|it| it.is(&key.destination))
            && self.workload.as_ref().is_none_or(|it| ends.iter().any(|end| it.is(end)))
    }
}
