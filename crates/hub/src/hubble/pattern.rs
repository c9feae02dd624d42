//! Names with stars, as Hubble writes them: `*.example.org`, `k8s*`, `cluster/node`.

/// A star stands for any letters, digits, dots and hyphens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Box<str>>);

impl Pattern {
    /// Case does not matter, nor does one dot at the end.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim().to_lowercase();
        let text = text.strip_suffix('.').unwrap_or(&text);
        if text.is_empty() || text.ends_with('.') {
            return Err("a name, in which a * stands for any part");
        }
        if !text.bytes().all(|byte| plain(byte) || matches!(byte, b'*' | b'_')) {
            return Err("letters, digits, - . _ and *");
        }
        Ok(Self(text.split('*').map(Into::into).collect()))
    }

    pub fn holds(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else { return false };
        let Some(mut left) = name.strip_prefix(&**first) else { return false };
        let Some((last, middle)) = rest.split_last() else { return left.is_empty() };
        // The earliest place of each leaves most room for the next.
        for part in middle {
            let Some(place) = left.find(&**part) else { return false };
            if !left[..place].bytes().all(plain) {
                return false;
            }
            left = &left[place + part.len()..];
        }
        left.strip_suffix(&**last).is_some_and(|star| star.bytes().all(plain))
    }
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
}

/// `node`, or `cluster/node`, either of which may be left out for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    cluster: Option<Pattern>,
    node: Option<Pattern>,
}

/// What Cilium calls a cluster that has no name.
const CLUSTER: &str = "default";

impl Node {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (cluster, node) = text.split_once('/').unwrap_or(("", text));
        if text.is_empty() || node.contains('/') {
            return Err("NODE, CLUSTER/ or CLUSTER/NODE");
        }
        let part = |text: &str| match text {
            "" => Ok(None),
            text => Pattern::parse(text).map(Some),
        };
        Ok(Self { cluster: part(cluster)?, node: part(node)? })
    }

    pub fn holds(&self, node: &str) -> bool {
        self.cluster.as_ref().is_none_or(|it| it.holds(CLUSTER))
            && self.node.as_ref().is_none_or(|it| it.holds(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_parts_of_names() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let holds = Pattern::parse(pattern).unwrap().holds(name);
            assert_eq!(holds, expected, "{pattern} {name}");
        };
        check("example.org", "example.org", true);
        check("Example.org.", "example.org", true);
        check("example.org", "an.example.org", false);
        check("*.example.org", "an.example.org", true);
        check("*.example.org", "example.org", false);
        check("*.cluster.local*", "cart.shop.svc.cluster.local", true);
        check("a*b*c", "a1b2b3c", true);
        check("a*c", "a/c", false);
        check("*", "", true);
        check("ab*b", "ab", false);
        assert!(Pattern::parse("").is_err() && Pattern::parse("a b").is_err());
        let node = |pattern: &str| Node::parse(pattern).unwrap().holds("n1");
        assert!(node("n*") && node("default/n1") && node("default/") && node("/n1"));
        assert!(!node("n2") && !node("other/n1"));
        assert!(Node::parse("a/b/c").is_err());
    }
}
