//! Certificates that are made here, on disk as a mounted secret has them, between ends that talk.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use super::{Client, Clients, Error, Files, HTTP2, Server, node};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Certificate and key, for 127.0.0.1 beside what `adapt` asks for.
    fn issue(&self, adapt: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        adapt(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// As the volume of a secret: `..data` is a link that is replaced, the files are links through it.
    fn volume(&self) -> Volume {
        let volume = Volume { directory: tempfile::tempdir().unwrap() };
        for name in ["ca.crt", "tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), volume.path(name)).unwrap();
        }
        let (certificate, key) = self.issue(|_| ());
        volume.put(&self.0.pem(), &certificate, &key);
        volume
    }
}

struct Volume {
    directory: tempfile::TempDir,
}

impl Volume {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, authority: &str, certificate: &str, key: &str) {
        let new = tempfile::tempdir_in(&self.directory).unwrap().keep();
        fs::write(new.join("ca.crt"), authority).unwrap();
        fs::write(new.join("tls.crt"), certificate).unwrap();
        fs::write(new.join("tls.key"), key).unwrap();
        symlink(&new, self.path("..new")).unwrap();
        fs::rename(self.path("..new"), self.path("..data")).unwrap();
    }

    fn files(&self) -> Files {
        Files { certificate: self.path("tls.crt"), key: self.path("tls.key") }
    }

    fn server(&self, clients: fn(PathBuf) -> Clients) -> Result<Server, Error> {
        Server::new(self.files(), clients(self.path("ca.crt")), &[HTTP2])
    }

    fn client(&self, shows: bool) -> Result<Client, Error> {
        Client::new(self.path("ca.crt"), shows.then(|| self.files()), &[HTTP2])
    }
}

/// Sends back what comes, byte by byte.
async fn serve(server: Server) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(server.config());
            tokio::spawn(async move {
                let mut stream = acceptor.accept(tcp).await?;
                loop {
                    let byte = stream.read_u8().await?;
                    stream.write_u8(byte).await?;
                }
                #[allow(unreachable_code)]
                io::Result::Ok(())
            });
        }
    });
    address
}

async fn connect(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::from(address.ip());
    let mut stream = TlsConnector::from(config).connect(name, tcp).await?;
    // With TLS 1.3 a client learns with its first read whether its certificate was accepted.
    echo(&mut stream).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(HTTP2));
    Ok(stream)
}

async fn echo(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    stream.write_u8(7).await?;
    assert_eq!(stream.read_u8().await?, 7);
    Ok(())
}

fn says<T>(result: Result<T, impl ToString>, expected: &str) {
    let text = result.map(|_| ()).map_err(|error| error.to_string()).unwrap_err();
    assert!(text.contains(expected), "{text:?} has no {expected:?}");
}

#[tokio::test]
async fn each_end_verifies_the_other() {
    let (ours, theirs) = (Authority::new("one"), Authority::new("another"));
    let (volume, foreign) = (ours.volume(), theirs.volume());
    let config = |client: Result<Client, Error>| client.unwrap().config();

    let must = serve(volume.server(Clients::MustShow).unwrap()).await;
    connect(must, config(volume.client(true))).await.unwrap();
    says(connect(must, config(volume.client(false))).await, "CertificateRequired");
    says(connect(must, config(foreign.client(true))).await, "UnknownIssuer");
    let mixed = Client::new(volume.path("ca.crt"), Some(foreign.files()), &[HTTP2]);
    says(connect(must, config(mixed)).await, "UnknownCA");

    let may = serve(volume.server(Clients::MayShow).unwrap()).await;
    connect(may, config(volume.client(true))).await.unwrap();
    connect(may, config(volume.client(false))).await.unwrap();
    let mixed = Client::new(volume.path("ca.crt"), Some(foreign.files()), &[HTTP2]);
    says(connect(may, config(mixed)).await, "UnknownCA");

    let any = serve(volume.server(|_| Clients::Any).unwrap()).await;
    connect(any, config(volume.client(false))).await.unwrap();
}

#[tokio::test]
async fn a_rotation_reaches_new_connections_and_leaves_open_ones() {
    let (old, new) = (Authority::new("one"), Authority::new("another"));
    let volume = old.volume();
    let (server, client) =
        (volume.server(Clients::MustShow).unwrap(), volume.client(true).unwrap());
    let address = serve(server.clone()).await;
    let mut open = connect(address, client.config()).await.unwrap();
    server.look();
    assert_eq!(server.facts().reloads, 0, "nothing has changed");
    let before = server.facts().expires;

    let (certificate, key) = new.issue(|params| params.not_after = date_time_ymd(2100, 1, 1));
    volume.put(&new.0.pem(), &certificate, &key);
    server.look();
    // The client still trusts, and shows, what was.
    says(connect(address, client.config()).await, "UnknownIssuer");
    client.look();
    connect(address, client.config()).await.unwrap();
    echo(&mut open).await.unwrap();
    let facts = server.facts();
    assert_eq!((facts.reloads, facts.failures), (1, 0));
    assert!(facts.expires != before && facts.expires == 4_102_444_800, "{facts:?}");
}

#[tokio::test]
async fn a_broken_file_leaves_the_former_in_use() {
    let authority = Authority::new("one");
    let volume = authority.volume();
    let (server, client) =
        (volume.server(Clients::MustShow).unwrap(), volume.client(true).unwrap());
    let address = serve(server.clone()).await;
    let (ca, (certificate, key)) = (authority.0.pem(), authority.issue(|_| ()));
    let (_, other) = authority.issue(|_| ());
    let broken = [
        (&ca[..], &certificate[..certificate.len() / 2], &key[..]),
        (&ca, "", &key),
        (&ca, &certificate, &key[..key.len() / 2]),
        (&ca, &certificate, &other),
        (&ca[..ca.len() - 10], &certificate, &key),
        ("", &certificate, &key),
    ];
    for (number, (ca, certificate, key)) in broken.into_iter().enumerate() {
        volume.put(ca, certificate, key);
        server.look();
        client.look();
        let failures = number as u64 + 1;
        assert_eq!((server.facts().failures, server.facts().reloads), (failures, 0));
        // The same files are not read again.
        server.look();
        assert_eq!(server.facts().failures, failures);
        connect(address, client.config()).await.unwrap();
    }
    fs::remove_file(volume.path("..data")).unwrap();
    server.look();
    assert_eq!(server.facts().failures, broken.len() as u64 + 1);
    volume.put(&ca, &certificate, &key);
    server.look();
    assert_eq!(server.facts().reloads, 1);
    connect(address, client.config()).await.unwrap();
}

#[test]
fn each_file_that_is_no_good_is_named_with_the_remedy() {
    let authority = Authority::new("one");
    let (ca, (certificate, key)) = (authority.0.pem(), authority.issue(|_| ()));
    let (_, other) = authority.issue(|_| ());
    let (expired, its_key) = authority.issue(|params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let check = |ca: &str, certificate: &str, key: &str, file: &str, expected: &str| {
        let volume = authority.volume();
        volume.put(ca, certificate, key);
        let file = volume.path(file);
        for result in
            [volume.server(Clients::MustShow).map(|_| ()), volume.client(true).map(|_| ())]
        {
            let text = result.unwrap_err().to_string();
            assert!(text.starts_with(&format!("{}: ", file.display())), "{text}");
            assert!(text.contains(expected), "{text:?} has no {expected:?}");
        }
    };
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    check(&ca, "", &key, "tls.crt", "there is no certificate in it");
    check(&ca, &cut(&certificate), &key, "tls.crt", "it is cut off");
    check(&ca, &key, &key, "tls.crt", "no ");
    check(&ca, &certificate, &certificate, "tls.key", "private key");
    check(&ca, &certificate, &cut(&key), "tls.key", "it is cut off");
    check(&ca, &certificate, &other, "tls.key", "does not fit the certificate in /");
    check(&ca, &expired, &its_key, "tls.crt", "expired at Jan  1 00:00:00 2021 +00:00; renew it");
    check("nothing", &certificate, &key, "ca.crt", "no ");
    check(&"x".repeat(2 << 20), &certificate, &key, "ca.crt", "more than 1048576 bytes");
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check(garbage, &certificate, &key, "ca.crt", "cannot be used");
    check(&ca, garbage, &key, "tls.crt", "cannot be used");
    let missing = Client::new(Path::new("/nowhere/ca.crt").into(), None, &[HTTP2]);
    says(missing, "/nowhere/ca.crt: No such file or directory");
}

#[test]
fn the_node_is_named_by_a_uri_or_as_a_kubelets() {
    let authority = Authority::new("one");
    let check = |common: &str, uris: &[&str], expected: Option<&str>| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common);
        let uri = |it: &&str| SanType::URI((*it).try_into().unwrap());
        params.subject_alt_names = uris.iter().map(uri).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority.0).unwrap();
        let chain = [certificate.der().clone(), authority.0.der().clone()];
        assert_eq!(node(&chain).as_deref(), expected, "{common:?} {uris:?}");
    };
    check("agent", &[], None);
    check("system:node:n1.example", &[], Some("n1.example"));
    check("system:node:", &[], None);
    check("system:node:a/b", &[], None);
    check("agent", &["spiffe://cluster.local/node/n1"], Some("n1"));
    check("agent", &["spiffe://x/amphipod/node/n1", "https://x/node/n2"], Some("n1"));
    check("agent", &["spiffe://x/node/n1/more"], None);
    check("agent", &["spiffe://node/n1"], None);
    check("agent", &["spiffe://x/node/"], None);
    check("agent", &["https://x/node/n1"], None);
    check("system:node:n1", &["spiffe://x/node/n1"], Some("n1"));
    check("system:node:n2", &["spiffe://x/node/n1"], None);
    check("agent", &["spiffe://x/node/n1", "spiffe://x/node/n2"], None);
    assert_eq!(node(&[]), None);
    assert_eq!(node(&[CertificateDer::from(vec![1, 2, 3])]), None);
}
