//! Which labels or annotations are kept.

use std::collections::HashSet;

/// Keys, and beginnings of keys.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    exact: HashSet<Box<[u8]>>,
    prefixes: Vec<Box<[u8]>>,
}

impl Allowed {
    /// Each pattern is a key, or the beginning of keys with a `*` after it; `*` alone allows all.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Self {
        let mut allowed = Self::default();
        for pattern in patterns {
            match pattern.as_ref().strip_suffix('*') {
                Some(prefix) => allowed.prefixes.push(prefix.as_bytes().into()),
                None => {
                    allowed.exact.insert(pattern.as_ref().as_bytes().into());
                }
            }
        }
        allowed
    }

    pub fn allows(&self, key: &[u8]) -> bool {
        self.prefixes.iter().any(|prefix| key.starts_with(prefix))
            || (!self.exact.is_empty() && self.exact.contains(key))
    }

    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], key: &str, expected: bool) {
        assert_eq!(Allowed::new(patterns).allows(key.as_bytes()), expected, "{patterns:?} {key}");
    }

    #[test]
    fn keys_and_beginnings() {
        check(&[], "app", false);
        check(&["app"], "app", true);
        check(&["app"], "application", false);
        check(&["app.kubernetes.io/*"], "app.kubernetes.io/name", true);
        check(&["app.kubernetes.io/*"], "app", false);
        check(&["team", "*"], "anything", true);
        check(&[""], "", true);
    }
}
