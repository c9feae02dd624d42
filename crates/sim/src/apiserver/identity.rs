//! The server's certificate and the kubeconfig that trusts it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::error::Error;

/// Made at start, and gone with the process.
#[derive(Clone, Debug)]
pub struct Identity {
    /// PEM of the authority that signed the server's certificate.
    pub authority: String,
    pub tls: std::sync::Arc<ServerConfig>,
}

impl Identity {
    /// For `localhost`, 127.0.0.1, `::1`, the cluster's own name for the server, and `host`.
    pub fn new(host: &str) -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "simulated-kubernetes");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let names = ["localhost", "127.0.0.1", "::1", "kubernetes.default.svc", host];
        let mut params = CertificateParams::new(names.map(str::to_owned))?;
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        let chain = vec![certificate.der().clone(), authority.der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { authority: authority.pem(), tls: std::sync::Arc::new(tls) })
    }

    /// A kubeconfig for whoever has `token`.
    pub fn kubeconfig(&self, url: &str, token: &str) -> String {
        let authority = STANDARD.encode(&self.authority);
        format!(
            "apiVersion: v1
kind: Config
current-context: sim
clusters:
- name: sim
  cluster:
    server: {url}
    certificate-authority-data: {authority}
contexts:
- name: sim
  context:
    cluster: sim
    user: sim
users:
- name: sim
  user:
    token: {token}
"
        )
    }
}
