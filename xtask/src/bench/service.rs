//! Servers and proxies under load: nginx, HAProxy.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, bail};
use sim::{Cgroup, Netns};

use super::child::Child;
use super::lab::Lab;

const START: Duration = Duration::from_secs(10);
const HTTP: u16 = 8080;
/// Where the client's proxy takes what the client sends, and the server's proxy takes that; as in meshes.
const OUTBOUND: u16 = 15_001;
const INBOUND: u16 = 15_006;

/// A running one. Dropping it ends it.
pub struct Service {
    child: Child,
    pub address: SocketAddr,
}

impl Service {
    fn start(
        lab: &Lab,
        program: &str,
        arguments: &[String],
        (cgroup, netns): (&Cgroup, &Netns),
        address: SocketAddr,
    ) -> Result<Self> {
        let log = lab.site.file(&format!("{program}-{}.log", address.port()));
        let child = Child::start(program, arguments, cgroup, Some(netns), log)?;
        let mut service = Self { child, address };
        let accepted = lab.interrupt.poll(START, || {
            service.child.check()?;
            Ok(netns.run(|| TcpStream::connect(address).is_ok())?.then_some(()))
        })?;
        if accepted.is_none() {
            bail!("{program}: nobody accepts at {address}");
        }
        Ok(service)
    }
}

/// nginx with one process, a kilobyte for every request, in the server's place.
pub fn nginx(lab: &Lab) -> Result<Service> {
    let server = &lab.site.server;
    let body = "x".repeat(1024);
    let folder = lab.site.instance.directory();
    let folder = folder.display();
    let configuration = format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr error;\n\
         worker_rlimit_nofile 65536;\nevents {{ worker_connections 16384; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 100000000;\n  keepalive_timeout 3600s;\n  \
         tcp_nodelay on;\n  server {{\n    listen {HTTP} backlog=8192;\n    default_type text/plain;\n    \
         location / {{ return 200 '{body}'; }}\n  }}\n}}\n"
    );
    let file = lab.site.write("nginx.conf", &configuration)?;
    let address = SocketAddr::from((server.address, HTTP));
    let arguments = ["-c", &file, "-e", "stderr"].map(str::to_owned);
    Service::start(lab, "nginx", &arguments, (&server.cgroup, &server.netns), address)
}

/// A proxy beside the client and one beside the server, as sidecars stand. The first one's address is the client's way in.
pub struct Sidecars {
    pub outbound: Service,
    /// In the order in which they end: proxies before their cgroups.
    _inbound: Service,
    _cgroups: [Cgroup; 2],
}

pub fn sidecars(lab: &Lab) -> Result<Sidecars> {
    let (client, server) = (&lab.site.client, &lab.site.server);
    let cgroups = [lab.site.container("proxy1")?, lab.site.container("proxy2")?];
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let inbound = SocketAddr::from((server.address, INBOUND));
    let _inbound = proxy(lab, (&cgroups[1], &server.netns), inbound, local(HTTP))?;
    let outbound = proxy(lab, (&cgroups[0], &client.netns), local(OUTBOUND), inbound)?;
    Ok(Sidecars { outbound, _inbound, _cgroups: cgroups })
}

/// HAProxy with one thread, connections kept and shared, without a log.
fn proxy(lab: &Lab, place: (&Cgroup, &Netns), from: SocketAddr, to: SocketAddr) -> Result<Service> {
    let configuration = format!(
        "global\n  nbthread 1\n  maxconn 8192\ndefaults\n  mode http\n  option http-keep-alive\n  http-reuse always\n  \
         timeout connect 5s\n  timeout client 60s\n  timeout server 60s\nfrontend in\n  bind {from} backlog 8192\n  \
         default_backend out\nbackend out\n  server s {to} pool-max-conn 1024\n"
    );
    let file = lab.site.write(&format!("haproxy-{}.cfg", from.port()), &configuration)?;
    let arguments = ["-db", "-q", "-f", &file].map(str::to_owned);
    Service::start(lab, "haproxy", &arguments, place, from)
}
