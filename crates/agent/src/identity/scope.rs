//! Whose a cgroup is to this agent: pods outside its part of the hierarchy are another agent's.

use std::sync::Arc;

use super::cgroups::Owner;
use super::{Mode, path, standalone};

#[derive(Debug)]
pub struct Scope {
    mode: Mode,
    /// Without a slash at its end: empty for the whole hierarchy.
    subtree: Arc<str>,
}

impl Scope {
    /// `subtree` as in `/proc/PID/cgroup`; `/` is everything.
    pub fn new(mode: Mode, subtree: &str) -> Self {
        Self { mode, subtree: subtree.trim_end_matches('/').into() }
    }

    /// The owner of the cgroup at `path`.
    pub fn owner(&self, path: &str) -> Owner {
        match path::owner(path) {
            Some(path::Owner::Pod { uid, .. }) if !self.contains(path) => {
                Owner::Foreign { uid: uid.as_ref().into() }
            }
            found => standalone::owner(found, self.mode),
        }
    }

    fn contains(&self, path: &str) -> bool {
        path.strip_prefix(&*self.subtree)
            .is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pods_outside_are_foreign() {
        let pod = "kubepods/pod0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
        let check = |subtree: &str, path: &str, foreign: bool| {
            let owner = Scope::new(Mode::Kubernetes, subtree).owner(path);
            assert_eq!(matches!(owner, Owner::Foreign { .. }), foreign, "{path} in {subtree}");
        };
        check("/", &format!("/{pod}"), false);
        check("/mine", &format!("/mine/{pod}"), false);
        check("/mine/", &format!("/mine/{pod}/init.scope"), false);
        check("/mine", &format!("/mine-too/{pod}"), true);
        check("/mine", &format!("/{pod}"), true);
        check("/mine", "/system.slice/nginx.service", false);
        check("/mine", "/", false);
    }
}
