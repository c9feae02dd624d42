//! Selectors of labels as Kubernetes writes them, with Cilium's sources before the keys: `k8s:app in (a,b),!canary`.

/// All terms must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    /// `k8s`, `reserved`; `None`: any.
    source: Option<Box<str>>,
    key: Box<str>,
    /// `None`: any value.
    values: Option<Vec<Box<str>>>,
    not: bool,
}

const EXPECTED: &str = "terms such as app=cart, tier!=db, app in (a, b), app notin (a), canary, !canary, reserved:host";

impl Selector {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut terms = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let end = end(rest);
            terms.push(Term::parse(rest[..end].trim()).ok_or(EXPECTED)?);
            rest = rest.get(end + 1..).unwrap_or_default().trim_start();
        }
        Ok(Self(terms))
    }

    /// `labels` are of the form `source:key=value`.
    pub fn holds(&self, labels: &[String]) -> bool {
        self.0.iter().all(|term| term.holds(labels))
    }

    /// The same for nodes' filters, if they know how to say it.
    pub fn plain(&self) -> Option<String> {
        let term = |term: &Term| match (term.source.as_deref(), &term.values) {
            (Some("reserved"), _) => None,
            _ if term.not
                || matches!(
                    &*term.key,
                    "host" | "remote-node" | "world" | "unknown" | NAMESPACE
                ) =>
            {
                None
            }
            (_, None) => Some(term.key.to_string()),
            (_, Some(values)) => match &values[..] {
                [value] => Some(format!("{}={value}", term.key)),
                _ => None,
            },
        };
        let terms: Option<Vec<String>> = self.0.iter().map(term).collect();
        terms.filter(|it| !it.is_empty()).map(|it| it.join(","))
    }
}

/// Cilium's label for a pod's namespace, which is none of the pod's own.
const NAMESPACE: &str = "io.kubernetes.pod.namespace";

/// Where the first term ends: at a comma that is not in brackets.
fn end(text: &str) -> usize {
    let mut inside = false;
    let place = text.bytes().position(|byte| {
        match byte {
            b'(' => inside = true,
            b')' => inside = false,
            _ => {}
        }
        byte == b',' && !inside
    });
    place.unwrap_or(text.len())
}

impl Term {
    fn parse(text: &str) -> Option<Self> {
        if let Some(open) = text.find('(') {
            let list = text[open..].strip_prefix('(')?.strip_suffix(')')?;
            let (key, word) = text[..open].trim_end().rsplit_once(char::is_whitespace)?;
            let values = list.split(',').map(|it| it.trim().into()).collect();
            let not = match word {
                "in" => false,
                "notin" => true,
                _ => return None,
            };
            return Self::new(key, Some(values), not);
        }
        let equals = |key, value: &str, not| Self::new(key, Some(vec![value.trim().into()]), not);
        if let Some((key, value)) = text.split_once("!=") {
            return equals(key, value, true);
        }
        if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            return equals(key, value, false);
        }
        match text.strip_prefix('!') {
            Some(key) => Self::new(key, None, true),
            None => Self::new(text, None, false),
        }
    }

    fn new(key: &str, values: Option<Vec<Box<str>>>, not: bool) -> Option<Self> {
        let key = key.trim();
        let (source, key) = match key.split_once(':') {
            Some(("any", key)) => (None, key),
            Some((source, key)) => (Some(source.into()), key),
            None => (None, key),
        };
        model::filter::is_label(key, values.iter().flatten().map(|it| &**it)).then(|| Self {
            source,
            key: key.into(),
            values,
            not,
        })
    }

    fn holds(&self, labels: &[String]) -> bool {
        let found = labels.iter().any(|label| {
            let (source, rest) = label.split_once(':').unwrap_or_default();
            let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
            key == &*self.key
                && self.source.as_deref().is_none_or(|it| it == source)
                && self.values.as_ref().is_none_or(|it| it.iter().any(|it| **it == *value))
        });
        found != self.not
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_those_of_kubernetes() {
        let labels = ["k8s:app=cart", "k8s:tier=", "reserved:host"].map(str::to_owned);
        let check = |selector: &str, expected: bool| {
            assert_eq!(Selector::parse(selector).unwrap().holds(&labels), expected, "{selector}");
        };
        check("app=cart", true);
        check("k8s:app == cart, tier", true);
        check("any:app=cart", true);
        check("reserved:app=cart", false);
        check("app in (cart, web),!canary", true);
        check("app notin (cart)", false);
        check("zone notin (a)", true);
        check("app!=cart", false);
        check("canary", false);
        check("reserved:host", true);
        check("reserved:unknown", false);
        for wrong in ["=a", "app on (a)", "a b", "app in (a", ",a"] {
            assert!(Selector::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nodes_are_asked_for_what_they_know() {
        let plain = |selector: &str| Selector::parse(selector).unwrap().plain();
        assert_eq!(plain("k8s:app=cart, tier").as_deref(), Some("app=cart,tier"));
        assert_eq!(plain("app in (a,b)"), None);
        assert_eq!(plain("app!=a"), None);
        assert_eq!(plain("reserved:world"), None);
    }
}
