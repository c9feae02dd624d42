//! What is asked of the API server.

use std::time::Duration;

use form_urlencoded::Serializer;

use crate::Resource;
use crate::body::Format;

#[derive(Clone, Debug)]
pub enum Ask {
    /// One page of the list; the first one without `next`. It shows what the API server's store holds at this moment.
    Page { limit: u32, next: String },
    /// The list as the beginning of a watch, up to a bookmark that says so.
    Stream { seconds: u64 },
    /// What has happened since this resource version.
    Watch { version: String, seconds: u64 },
}

impl Ask {
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Page { .. } => "list",
            Self::Stream { .. } | Self::Watch { .. } => "watch",
        }
    }

    pub fn path(&self, resource: Resource, selector: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        if let Some(selector) = selector {
            query.append_pair("fieldSelector", selector);
        }
        match self {
            Self::Page { limit, next } => {
                if *limit > 0 {
                    query.append_pair("limit", &limit.to_string());
                }
                if !next.is_empty() {
                    query.append_pair("continue", next);
                }
            }
            Self::Stream { seconds } => {
                query.append_pair("watch", "true");
                query.append_pair("sendInitialEvents", "true");
                query.append_pair("resourceVersionMatch", "NotOlderThan");
                query.append_pair("allowWatchBookmarks", "true");
                query.append_pair("timeoutSeconds", &seconds.to_string());
            }
            Self::Watch { version, seconds } => {
                query.append_pair("watch", "true");
                query.append_pair("resourceVersion", version);
                query.append_pair("allowWatchBookmarks", "true");
                query.append_pair("timeoutSeconds", &seconds.to_string());
            }
        }
        format!("{}?{}", resource.path(), query.finish())
    }

    /// What is understood, the best first.
    pub fn accept(&self, resource: Resource, format: Format) -> String {
        let kind = match (resource.metadata_only(), self) {
            (false, _) => "",
            (true, Self::Page { .. }) => ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            (true, _) => ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        };
        let mut accept = String::new();
        if format == Format::Protobuf {
            accept = format!("application/vnd.kubernetes.protobuf{kind},");
        }
        accept.push_str("application/json");
        if !kind.is_empty() {
            accept.push_str(kind);
            accept.push_str(",application/json");
        }
        accept
    }
}

/// Between the half and the whole, so that watches do not end together.
pub fn watch_seconds(most: Duration) -> u64 {
    let most = most.as_secs().max(2);
    fastrand::u64(most / 2..=most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ask: Ask, resource: Resource, path: &str, accept: &str) {
        assert_eq!(ask.path(resource, None), path);
        assert_eq!(ask.accept(resource, Format::Protobuf), accept);
    }

    const BINARY: &str = "application/vnd.kubernetes.protobuf,application/json";

    #[test]
    fn what_is_asked() {
        let first = Ask::Page { limit: 500, next: String::new() };
        check(first.clone(), Resource::Pods, "/api/v1/pods?limit=500", BINARY);
        check(
            first,
            Resource::ReplicaSets,
            "/apis/apps/v1/replicasets?limit=500",
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
             application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
        );
        let next = Ask::Page { limit: 0, next: "a b&c".into() };
        check(next, Resource::Nodes, "/api/v1/nodes?continue=a+b%26c", BINARY);
        let watch = Ask::Watch { version: "17".into(), seconds: 300 };
        check(
            watch.clone(),
            Resource::EndpointSlices,
            "/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=17\
             &allowWatchBookmarks=true&timeoutSeconds=300",
            BINARY,
        );
        let path = watch.path(Resource::Pods, Some("spec.nodeName=n1"));
        assert!(path.starts_with("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1&watch"), "{path}");
        assert_eq!(watch.accept(Resource::Pods, Format::Json), "application/json");
    }
}
