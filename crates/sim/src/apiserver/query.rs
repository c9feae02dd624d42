//! What a request asks for: its path and its query.

use std::collections::HashMap;

use super::resource::Resource;
use super::status::Status;

/// A place in the API that has objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub resource: Resource,
    /// Empty: of the whole cluster.
    pub namespace: String,
    /// Empty: all.
    pub name: String,
    /// `pods` of a node's kubelet, by way of the node's proxy.
    pub is_kubelet: bool,
}

impl Target {
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_end_matches('/').split('/').skip(1);
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        if parts.next()? != "v1" {
            return None;
        }
        let rest: Vec<&str> = parts.collect();
        let target = |resource, namespace: &str, name: &str| {
            let resource = Resource::of_path(group, resource)?;
            let (namespace, name) = (namespace.to_owned(), name.to_owned());
            Some(Self { resource, namespace, name, is_kubelet: false })
        };
        let inside = |resource, namespace, name| {
            target(resource, namespace, name).filter(|target| target.resource.is_namespaced())
        };
        match rest[..] {
            ["nodes", node, "proxy", "pods"] => {
                Some(Self { is_kubelet: true, ..target("nodes", "", node)? })
            }
            // `/api/v1/watch/...`, the old way to watch, is not served.
            [resource] => target(resource, "", ""),
            ["namespaces", name] => target("namespaces", "", name),
            ["namespaces", namespace, resource] => inside(resource, namespace, ""),
            ["namespaces", namespace, resource, name] => inside(resource, namespace, name),
            [resource, name] => {
                target(resource, "", name).filter(|target| !target.resource.is_namespaced())
            }
            _ => None,
        }
    }
}

/// The options of a list or a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub watch: bool,
    /// None: not given.
    pub version: Option<u64>,
    pub version_match: Match,
    /// 0: no limit.
    pub limit: usize,
    pub continue_from: String,
    pub bookmarks: bool,
    pub timeout_s: Option<u64>,
    pub send_initial_events: Option<bool>,
    pub labels: String,
    pub fields: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Match {
    #[default]
    Unset,
    Exact,
    NotOlderThan,
}

impl Options {
    /// # Errors
    /// The status to send for an option with a value that it cannot have.
    pub fn parse(query: &str) -> Result<Self, Status> {
        let pairs: HashMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let text = |key: &str| pairs.get(key).cloned().unwrap_or_default();
        let flag = |key: &str| {
            pairs.get(key).map(|value| matches!(value.as_str(), "" | "1" | "true" | "True"))
        };
        let number = |key: &str| match pairs.get(key).map(String::as_str) {
            None | Some("") => Ok(None),
            Some(value) => value.parse::<u64>().map(Some).map_err(|_| {
                Status::bad_request(format!("{key}: Invalid value: \"{value}\": must be a number"))
            }),
        };
        let version_match = match text("resourceVersionMatch").as_str() {
            "" => Match::Unset,
            "Exact" => Match::Exact,
            "NotOlderThan" => Match::NotOlderThan,
            other => {
                let message = format!("resourceVersionMatch {other:?} is not supported");
                return Err(Status::forbidden_option("resourceVersionMatch", &message));
            }
        };
        Ok(Self {
            watch: flag("watch").unwrap_or(false),
            version: number("resourceVersion")?,
            version_match,
            limit: number("limit")?.and_then(|limit| limit.try_into().ok()).unwrap_or(0),
            continue_from: text("continue"),
            bookmarks: flag("allowWatchBookmarks").unwrap_or(false),
            timeout_s: number("timeoutSeconds")?,
            send_initial_events: flag("sendInitialEvents"),
            labels: text("labelSelector"),
            fields: text("fieldSelector"),
        })
    }

    /// Refuses what the real server refuses.
    pub fn check(&self) -> Result<(), Status> {
        let matching = "resourceVersionMatch";
        let refuse = |field, message| Err(Status::forbidden_option(field, message));
        if self.watch {
            if self.send_initial_events.is_some() && self.version_match != Match::NotOlderThan {
                return refuse(
                    matching,
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                );
            }
            if self.send_initial_events.is_none() && self.version_match != Match::Unset {
                return refuse(
                    matching,
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                );
            }
            return Ok(());
        }
        if self.send_initial_events.is_some() {
            return refuse("sendInitialEvents", "sendInitialEvents is forbidden for list");
        }
        if self.version_match != Match::Unset {
            if self.version.is_none() {
                return refuse(
                    matching,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                );
            }
            if !self.continue_from.is_empty() {
                return refuse(
                    matching,
                    "resourceVersionMatch is forbidden when continue is provided",
                );
            }
            if self.version_match == Match::Exact && self.version == Some(0) {
                return refuse(
                    matching,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_objects() {
        let check = |path: &str, expected: Option<(Resource, &str, &str)>| {
            let target = Target::parse(path);
            let target = target.as_ref().map(|t| (t.resource, &*t.namespace, &*t.name));
            assert_eq!(target, expected, "{path}");
        };
        check("/api/v1/pods", Some((Resource::Pods, "", "")));
        check("/api/v1/namespaces/shop/pods/", Some((Resource::Pods, "shop", "")));
        check("/api/v1/namespaces/shop/pods/cart", Some((Resource::Pods, "shop", "cart")));
        check("/api/v1/namespaces", Some((Resource::Namespaces, "", "")));
        check("/api/v1/namespaces/shop", Some((Resource::Namespaces, "", "shop")));
        check("/api/v1/nodes/n1", Some((Resource::Nodes, "", "n1")));
        check("/apis/apps/v1/replicasets", Some((Resource::ReplicaSets, "", "")));
        check("/apis/apps/v1/namespaces/a/replicasets/b", Some((Resource::ReplicaSets, "a", "b")));
        check("/apis/apps/v2/replicasets", None);
        check("/api/v1/replicasets", None);
        check("/api/v1/pods/cart", None);
        check("/api/v1/namespaces/shop/nodes", None);
        check("/api/v1/secrets", None);
        check("/api/v1", None);
        check("", None);
        assert!(Target::parse("/api/v1/nodes/n1/proxy/pods").unwrap().is_kubelet);
    }

    #[test]
    fn options_are_read_and_checked() {
        let options =
            Options::parse("watch=1&labelSelector=app%20in+%28a%2Cb%29&limit=5&resourceVersion=0")
                .unwrap();
        assert!(options.watch && options.limit == 5 && options.version == Some(0));
        assert_eq!(options.labels, "app in (a,b)");
        let check = |query: &str, code: u16| {
            let result = Options::parse(query).and_then(|options| options.check());
            assert_eq!(result.err().map_or(200, |status| status.code), code, "{query}");
        };
        check("", 200);
        check("watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", 200);
        check("watch=true&sendInitialEvents=true", 422);
        check("watch=true&resourceVersionMatch=NotOlderThan", 422);
        check("sendInitialEvents=true", 422);
        check("resourceVersionMatch=Exact", 422);
        check("resourceVersionMatch=Exact&resourceVersion=0", 422);
        check("resourceVersionMatch=Exact&resourceVersion=7", 200);
        check("resourceVersionMatch=Some&resourceVersion=7", 422);
        check("limit=many", 400);
        check("resourceVersion=x%", 400);
        check("continue=%zz&%=%", 200);
    }
}
