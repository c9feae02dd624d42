//! The protobuf that tests read, with its numbers written again by hand.

use std::collections::HashMap;

use prost::Message;

#[derive(Clone, Message)]
pub struct WatchEvent {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(message, optional, tag = "2")]
    pub object: Option<RawExtension>,
}
#[derive(Clone, Message)]
pub struct RawExtension {
    #[prost(bytes = "vec", tag = "1")]
    pub raw: Vec<u8>,
}
#[derive(Clone, Message)]
pub struct Unknown {
    #[prost(message, optional, tag = "1")]
    pub type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    pub raw: Vec<u8>,
}
#[derive(Clone, Message)]
pub struct TypeMeta {
    #[prost(string, tag = "1")]
    pub api_version: String,
    #[prost(string, tag = "2")]
    pub kind: String,
}
#[derive(Clone, Message)]
pub struct PodList {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ListMeta>,
    #[prost(message, repeated, tag = "2")]
    pub items: Vec<Pod>,
}
#[derive(Clone, Message)]
pub struct ListMeta {
    #[prost(string, tag = "2")]
    pub resource_version: String,
    #[prost(string, tag = "3")]
    pub continue_at: String,
}
#[derive(Clone, Message)]
pub struct Pod {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<Metadata>,
    #[prost(message, optional, tag = "2")]
    pub spec: Option<Spec>,
    #[prost(message, optional, tag = "3")]
    pub status: Option<Status>,
}
#[derive(Clone, Message)]
pub struct Metadata {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub namespace: String,
    #[prost(string, tag = "5")]
    pub uid: String,
    #[prost(string, tag = "6")]
    pub resource_version: String,
    #[prost(map = "string, string", tag = "11")]
    pub labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "12")]
    pub annotations: HashMap<String, String>,
    #[prost(message, repeated, tag = "13")]
    pub owners: Vec<Owner>,
}
#[derive(Clone, Message)]
pub struct Owner {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(bool, tag = "6")]
    pub controller: bool,
}
#[derive(Clone, Message)]
pub struct Spec {
    #[prost(message, repeated, tag = "1")]
    pub volumes: Vec<Volume>,
    #[prost(message, repeated, tag = "2")]
    pub containers: Vec<Container>,
    #[prost(string, tag = "10")]
    pub node: String,
    #[prost(bool, tag = "11")]
    pub host_network: bool,
}
#[derive(Clone, Message)]
pub struct Volume {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub source: Option<Source>,
}
#[derive(Clone, Message)]
pub struct Source {
    #[prost(message, optional, tag = "6")]
    pub secret: Option<Secret>,
}
#[derive(Clone, Message)]
pub struct Secret {
    #[prost(string, tag = "1")]
    pub name: String,
}
#[derive(Clone, Message)]
pub struct Container {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub image: String,
}
#[derive(Clone, Message)]
pub struct Status {
    #[prost(string, tag = "1")]
    pub phase: String,
    #[prost(message, optional, tag = "7")]
    pub started: Option<Time>,
    #[prost(message, repeated, tag = "8")]
    pub containers: Vec<ContainerStatus>,
    #[prost(message, repeated, tag = "12")]
    pub ips: Vec<Ip>,
}
#[derive(Clone, Message)]
pub struct Time {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
}
#[derive(Clone, Message)]
pub struct ContainerStatus {
    #[prost(string, tag = "8")]
    pub id: String,
}
#[derive(Clone, Message)]
pub struct Ip {
    #[prost(string, tag = "1")]
    pub ip: String,
}
/// An error of the API.
#[derive(Clone, Message)]
pub struct Failure {
    #[prost(string, tag = "4")]
    pub reason: String,
    #[prost(int32, tag = "6")]
    pub code: i32,
}
#[derive(Clone, Message)]
pub struct Review {
    #[prost(message, optional, tag = "2")]
    pub spec: Option<ReviewSpec>,
    #[prost(message, optional, tag = "3")]
    pub status: Option<ReviewStatus>,
}
#[derive(Clone, Message)]
pub struct ReviewSpec {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, repeated, tag = "2")]
    pub audiences: Vec<String>,
}
#[derive(Clone, Message)]
pub struct ReviewStatus {
    #[prost(bool, tag = "1")]
    pub authenticated: bool,
    #[prost(message, optional, tag = "2")]
    pub user: Option<User>,
}
#[derive(Clone, Message)]
pub struct User {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(map = "string, message", tag = "4")]
    pub extra: HashMap<String, Extra>,
}
#[derive(Clone, PartialEq, Message)]
pub struct Extra {
    #[prost(string, repeated, tag = "1")]
    pub items: Vec<String>,
}

/// Kind and message of a body.
pub fn open<M: Message + Default>(body: &[u8]) -> (String, M) {
    let unknown = Unknown::decode(body.strip_prefix(b"k8s\0").expect("no envelope")).unwrap();
    let type_meta = unknown.type_meta.unwrap();
    let kind = format!("{} {}", type_meta.api_version, type_meta.kind);
    (kind, M::decode(&*unknown.raw).unwrap())
}
