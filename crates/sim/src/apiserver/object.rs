//! One object, encoded: JSON and protobuf, in pieces. What many objects have in common is kept once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::resource::Resource;
use super::transcode;

/// Parts of an object that other objects have as well, encoded: any members of `metadata`, `spec` and `status`.
#[derive(Debug, Default)]
pub struct Shared {
    pub(super) parts: Parts,
}

impl Shared {
    /// `value`: an object with some of the members that the objects of `resource` have.
    ///
    /// # Errors
    /// A member that no such object has, or that is of another type.
    pub fn new(resource: Resource, value: &Value) -> Result<Arc<Self>, transcode::Error> {
        Ok(Arc::new(Self { parts: Parts::encode(resource, value)? }))
    }
}

/// An object as it was at one resource version.
#[derive(Debug)]
pub struct Object {
    pub resource: Resource,
    /// Empty for what belongs to no namespace.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Arc<str>,
    /// Given by the server, above 0.
    pub version: u64,
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// `spec.nodeName` of a pod; empty otherwise.
    pub node: Arc<str>,
    /// `status.phase`; empty where there is none.
    pub phase: Arc<str>,
    pub(super) own: Arc<Parts>,
    pub(super) shared: Arc<Shared>,
}

/// The members of an object, without what encloses them.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub metadata: Part,
    pub spec: Option<Part>,
    pub status: Option<Part>,
    /// Members beside those three.
    pub top: Part,
}

type Members<'a> = BTreeMap<&'a String, &'a Value>;

#[derive(Debug, Default)]
pub(super) struct Part {
    pub json: Box<[u8]>,
    pub protobuf: Box<[u8]>,
}

impl Parts {
    fn encode(resource: Resource, value: &Value) -> Result<Self, transcode::Error> {
        let mut parts = Self::default();
        let mut top = Members::new();
        let empty = Map::new();
        for (key, value) in value.as_object().unwrap_or(&empty) {
            let message = |part| format!("{}{part}", resource.kind());
            let part = |name: &str| Part::encode(name, value.as_object().unwrap_or(&empty));
            match (key.as_str(), value) {
                ("kind" | "apiVersion", _) => {}
                ("metadata", Value::Object(_)) => parts.metadata = part("ObjectMeta")?,
                ("spec", Value::Object(_)) => parts.spec = Some(part(&message("Spec"))?),
                ("status", Value::Object(_)) => parts.status = Some(part(&message("Status"))?),
                _ => {
                    top.insert(key, value);
                }
            }
        }
        parts.top = Part::encode(resource.kind(), top)?;
        Ok(parts)
    }
}

impl Part {
    fn encode<'a>(
        message: &str,
        members: impl IntoIterator<Item = (&'a String, &'a Value)>,
    ) -> Result<Self, transcode::Error> {
        // Versions are the server's to give.
        let is_given = |key: &str| message == "ObjectMeta" && key == "resourceVersion";
        let members: Members<'_> =
            members.into_iter().filter(|(key, value)| !value.is_null() && !is_given(key)).collect();
        let mut protobuf = Vec::new();
        transcode::members(
            message,
            members.iter().map(|(key, value)| (*key, *value)),
            &mut protobuf,
        )?;
        // Cannot fail: keys are texts, values are JSON.
        let json = serde_json::to_vec(&members).unwrap_or_default();
        let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().into();
        Ok(Self { json, protobuf: protobuf.into() })
    }
}

impl Object {
    /// `value`: the whole object as JSON, or what of it is not in `shared`. `kind` and `resourceVersion` are ignored.
    ///
    /// # Errors
    /// A member that no such object has, or that is of another type.
    pub fn new(
        resource: Resource,
        value: &Value,
        shared: Arc<Shared>,
    ) -> Result<Self, transcode::Error> {
        let text = |pointer: &str| -> Arc<str> {
            value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().into()
        };
        let labels = value
            .pointer("/metadata/labels")
            .and_then(Value::as_object)
            .map(|labels| {
                let pair = |(key, value): (&String, &Value)| {
                    (key.as_str().into(), value.as_str().unwrap_or_default().into())
                };
                labels.iter().map(pair).collect()
            })
            .unwrap_or_default();
        Ok(Self {
            resource,
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            version: 0,
            labels,
            node: text("/spec/nodeName"),
            phase: text("/status/phase"),
            own: Arc::new(Parts::encode(resource, value)?),
            shared,
        })
    }

    /// The same at another version: what a watch tells of an object that was deleted.
    pub(super) fn at(&self, version: u64) -> Self {
        Self {
            resource: self.resource,
            namespace: Arc::clone(&self.namespace),
            name: Arc::clone(&self.name),
            uid: Arc::clone(&self.uid),
            version,
            labels: self.labels.clone(),
            node: Arc::clone(&self.node),
            phase: Arc::clone(&self.phase),
            own: Arc::clone(&self.own),
            shared: Arc::clone(&self.shared),
        }
    }

    /// The whole object, as a client would read it.
    pub fn json(&self) -> Value {
        let mut bytes = Vec::new();
        super::wire::json(self, super::wire::Header::Typed, &mut bytes);
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Where it is stored: `namespace/name`, or its name.
    pub fn key(&self) -> String {
        key(&self.namespace, &self.name)
    }
}

pub(super) fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}
