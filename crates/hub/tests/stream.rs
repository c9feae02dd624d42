//! The hub against a simulated API server, over real streams.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon::tls::{self, Files};
use hub::{App, Config};
use hyper_util::rt::TokioIo;
use prost::Message;
use proto::InventoryClient;
use proto::wire::item::Kind;
use proto::wire::to_agent::Kind as Telling;
use proto::wire::to_hub::Kind as Asking;
use proto::wire::{Batch, Hello, Interest, Item, ToAgent, ToHub};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls_pki_types::ServerName;
use sim::apiserver::{ApiServer, Options, Population, Resource, Shape, User};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

const SOON: Duration = Duration::from_secs(30);

struct Cluster {
    server: ApiServer,
    hub: App,
    runtime: Runtime,
    folder: TempDir,
}

fn cluster(inventory: &str, prepare: impl FnOnce(&Path)) -> Cluster {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let server = ApiServer::start(Options::default()).unwrap();
    let mut population = Population::new(Shape { nodes: 3, pods: 60, ..Shape::default() });
    population.create(&server).unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    let inventory = inventory.replace("FOLDER", folder.path().to_str().unwrap());
    let config = format!(
        "[hub]\nlisten = \"127.0.0.1:0\"\n[kube]\nkubeconfig = {kubeconfig:?}\n[inventory]\nlisten = \"127.0.0.1:0\"\n{inventory}"
    );
    let hub = App::start(Config::parse(&config).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Cluster { server, hub, runtime, folder }
}

/// An agent that keeps what it wants to say.
struct Agent {
    ask: mpsc::Sender<ToHub>,
    told: Streaming<ToAgent>,
}

impl Agent {
    async fn follow(channel: Channel, hello: Hello) -> Result<Self, Status> {
        Self::follow_as(None, channel, hello).await
    }

    async fn follow_as(
        token: Option<&str>,
        channel: Channel,
        hello: Hello,
    ) -> Result<Self, Status> {
        let (ask, asks) = mpsc::channel(4);
        ask.send(ToHub { kind: Some(Asking::Hello(hello)) }).await.unwrap();
        let mut client = InventoryClient::new(channel)
            .send_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Zstd);
        let mut request = Request::new(ReceiverStream::new(asks));
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        let told = client.follow(request).await?.into_inner();
        Ok(Self { ask, told })
    }

    async fn next(&mut self) -> Result<Telling, Status> {
        let told = tokio::time::timeout(SOON, self.told.message()).await.unwrap()?;
        told.and_then(|it| it.kind).ok_or_else(|| Status::cancelled("the end"))
    }

    async fn batch(&mut self) -> (Batch, Vec<Kind>) {
        let Telling::Batch(mut batch) = self.next().await.unwrap() else { panic!("a drain") };
        let items = proto::items(&mut batch).unwrap().into_iter();
        let items = items.map(|it| Item::decode(it).unwrap().kind.unwrap()).collect();
        (batch, items)
    }

    /// Up to the end of an account.
    async fn account(&mut self) -> (u64, u64, Vec<Kind>) {
        let mut all = Vec::new();
        loop {
            let (batch, items) = self.batch().await;
            all.extend(items);
            if batch.synced {
                return (batch.epoch, batch.sequence, all);
            }
        }
    }
}

fn uids(items: &[Kind]) -> BTreeSet<String> {
    let uid = |it: &Kind| match it {
        Kind::Pod(pod) => Some(pod.uid.clone()),
        _ => None,
    };
    items.iter().filter_map(uid).collect()
}

fn hello(node: &str) -> Hello {
    Hello { node: node.into(), ..Hello::default() }
}

#[test]
fn an_agent_is_told_of_its_node_and_then_of_changes() {
    let Cluster { server, hub, runtime, folder: _folder } = cluster("", |_| {});
    let pods: Vec<_> = server.objects(Resource::Pods).iter().map(|it| it.json()).collect();
    let node = pods[0]["spec"]["nodeName"].as_str().unwrap().to_owned();
    let on_node = |pod: &&serde_json::Value| pod["spec"]["nodeName"] == *node;
    let expected: BTreeSet<String> = pods
        .iter()
        .filter(on_node)
        .map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned())
        .collect();
    let (epoch, sequence) = runtime.block_on(async {
        let url = format!("http://{}", hub.agents_address());
        let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
        let mut agent = Agent::follow(channel.clone(), hello(&node)).await.unwrap();
        let (epoch, sequence, items) = agent.account().await;
        assert_eq!(uids(&items), expected);
        // Its node and its pods; nothing of services, of which it asked for none.
        assert_eq!(items.len(), 1 + expected.len());

        // An address that nobody has, and then somebody does.
        let ip: IpAddr = "10.255.255.1".parse().unwrap();
        let interest = Interest { add: vec![proto::ip_bytes(ip)], drop: vec![] };
        agent.ask.send(ToHub { kind: Some(Asking::Interest(interest)) }).await.unwrap();
        let (_, items) = agent.batch().await;
        assert!(matches!(items[..], [Kind::AddressUnknown(_)]), "{items:?}");
        let mut pod = pods[0].clone();
        pod["metadata"] =
            serde_json::json!({ "name": "new", "namespace": "default", "uid": "uid-new" });
        pod["spec"]["nodeName"] = "elsewhere".into();
        // The first pod is a daemon's, whose address is its node's.
        pod["spec"]["hostNetwork"] = false.into();
        pod["status"]["podIP"] = "10.255.255.1".into();
        pod["status"]["podIPs"] = serde_json::json!([{ "ip": "10.255.255.1" }]);
        server.apply(&pod).unwrap();
        let (batch, items) = agent.batch().await;
        let [Kind::Address(answer)] = &items[..] else { panic!("{items:?}") };
        assert_eq!(answer.identity.as_ref().unwrap().pod, "new");
        assert!(batch.sequence > sequence);
        let sequence = batch.sequence;

        // Who comes back at once is told nothing twice.
        drop(agent);
        let again = Hello { epoch, sequence, answered: vec![proto::ip_bytes(ip)], ..hello(&node) };
        let mut agent = Agent::follow(channel.clone(), again).await.unwrap();
        let (_, _, items) = agent.account().await;
        assert!(items.is_empty(), "{items:?}");
        (epoch, sequence)
    });
    assert!(epoch > 0 && sequence > 0);
    // One watch for each resource, whatever agents do.
    let open: u64 = server.requests().iter().map(|request| request.open).sum();
    assert_eq!(open, 7);
    hub.shutdown().unwrap();
}

#[test]
fn a_stop_sends_agents_elsewhere() {
    let Cluster { server: _server, hub, runtime, folder: _folder } = cluster("", |_| {});
    let url = format!("http://{}", hub.agents_address());
    let mut agent = runtime.block_on(async {
        let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
        let mut agent = Agent::follow(channel, hello("n1")).await.unwrap();
        agent.account().await;
        agent
    });
    let stop = std::thread::spawn(move || hub.shutdown());
    runtime.block_on(async {
        assert!(matches!(agent.next().await, Ok(Telling::Drain(_))));
        assert!(agent.next().await.is_err());
    });
    drop((agent, runtime));
    stop.join().unwrap().unwrap();
}

#[test]
fn a_stranger_is_refused_and_told_why() {
    let Cluster { server: _server, hub, runtime, folder: _folder } = cluster("", |_| {});
    let url = format!("http://{}", hub.agents_address());
    runtime.block_on(async {
        let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
        let mut agent = Agent::follow(channel, hello("")).await.unwrap();
        let error = agent.next().await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains("the node has no name"), "{error}");
    });
    hub.shutdown().unwrap();
}

/// An authority, the hub's certificate and that of node `n1`, as PEM files.
fn certificates(folder: &Path) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    write("ca.pem", params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    let issue = |name: &str, params: CertificateParams| {
        let key = KeyPair::generate().unwrap();
        write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    };
    issue("hub", CertificateParams::new(vec!["hub.test".to_owned()]).unwrap());
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "an agent");
    params.subject_alt_names =
        vec![SanType::URI("spiffe://cluster.local/node/n1".try_into().unwrap())];
    issue("agent", params);
}

/// To the hub at `address`, whose certificate `authority` vouches for.
fn secured(address: SocketAddr, authority: PathBuf, own: Option<Files>) -> Channel {
    let tls = tls::Client::new(authority, own, &[tls::HTTP2]).unwrap();
    let connect = tower::service_fn(move |_| {
        let connector = TlsConnector::from(tls.config());
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("hub.test").unwrap();
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    Endpoint::from_static("http://hub.test").connect_with_connector_lazy(connect)
}

#[test]
fn an_agent_is_told_of_the_node_that_its_certificate_names_and_of_no_other() {
    let files = "certificate = \"FOLDER/hub.pem\"\nkey = \"FOLDER/hub.key\"\nclient_ca = \"FOLDER/ca.pem\"\n";
    let Cluster { server: _server, hub, runtime, folder } = cluster(files, certificates);
    let at = |name: &str| folder.path().join(name);
    let own = Files { certificate: at("agent.pem"), key: at("agent.key") };
    let channel = |own| secured(hub.agents_address(), at("ca.pem"), own);
    runtime.block_on(async {
        let mut agent = Agent::follow(channel(Some(own.clone())), hello("n1")).await.unwrap();
        agent.account().await;
        let mut liar = Agent::follow(channel(Some(own)), hello("n2")).await.unwrap();
        let error = liar.next().await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied);
        assert!(
            error.message().contains("\"n2\"") && error.message().contains("\"n1\""),
            "{error}"
        );
        assert!(Agent::follow(channel(None), hello("n1")).await.is_err());
    });
    hub.shutdown().unwrap();
}

#[test]
fn an_agent_is_told_of_the_node_that_its_token_is_bound_to() {
    let files = "certificate = \"FOLDER/hub.pem\"\nkey = \"FOLDER/hub.key\"\ntokens = true\n";
    let Cluster { server, hub, runtime, folder } = cluster(files, certificates);
    let account = |token| User::service_account("amphipod", "agent", token, &[]);
    server.add_user(account("good").on_node("n1", "agent-1").for_audiences(&["amphipod-hub"]));
    server.add_user(account("elsewhere").on_node("n1", "agent-1").for_audiences(&["another"]));
    server.add_user(account("unbound").for_audiences(&["amphipod-hub"]));
    runtime.block_on(async {
        let channel = secured(hub.agents_address(), folder.path().join("ca.pem"), None);
        let follow = |token, node| Agent::follow_as(token, channel.clone(), hello(node));
        let mut agent = follow(Some("good"), "n1").await.unwrap();
        agent.account().await;
        let mut liar = follow(Some("good"), "n2").await.unwrap();
        assert_eq!(liar.next().await.unwrap_err().code(), Code::PermissionDenied);
        for (token, told) in [
            (Some("elsewhere"), "the token is not accepted"),
            (Some("nobody's"), "the token is not accepted"),
            (Some("unbound"), "bound to no pod"),
            (None, "neither a certificate that names a node nor a token"),
        ] {
            let Err(error) = follow(token, "n1").await else { panic!("{token:?} is served") };
            assert_eq!(error.code(), Code::Unauthenticated, "{error}");
            assert!(error.message().contains(told), "{error}");
        }
    });
    // One question for each token, however often it comes.
    let reviews = server.requests().into_iter().filter(|it| it.path.ends_with("tokenreviews"));
    assert_eq!(reviews.map(|it| it.count).sum::<u64>(), 4);
    hub.shutdown().unwrap();
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_up_a_stop() {
    let Cluster { server: _server, hub, folder: _folder, .. } = cluster("", |_| {});
    let mut silent = std::net::TcpStream::connect(hub.agents_address()).unwrap();
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    // The settings of the server: it serves the connection.
    silent.read_exact(&mut [0; 9]).unwrap();
    let before = std::time::Instant::now();
    hub.shutdown().unwrap();
    assert!(before.elapsed() < Duration::from_secs(4), "{:?}", before.elapsed());
}
