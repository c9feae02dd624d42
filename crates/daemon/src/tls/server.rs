//! The end that is connected to.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;

use super::files::{AUTHORITY, authorities};
use super::{Error, Files, Reload, provider};

/// Whether who connects has to show a certificate, and the PEM file of the authorities that may vouch for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Not asked for one.
    Any,
    /// Some have no certificate: they must show who they are by something else. One that is shown must be good.
    MayShow(PathBuf),
    MustShow(PathBuf),
}

#[derive(Clone)]
pub struct Server(Arc<Reload<ServerConfig>>);

impl Server {
    /// `protocols`: what is spoken here, the best first ([`HTTP2`](super::HTTP2)).
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn new(
        own: Files,
        clients: Clients,
        protocols: &'static [&'static [u8]],
    ) -> Result<Self, Error> {
        let mut files = vec![own.certificate.clone(), own.key.clone()];
        if let Clients::MayShow(path) | Clients::MustShow(path) = &clients {
            files.push(path.clone());
        }
        let reload = Reload::new(files, move || {
            let own = own.read()?;
            let builder = ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .map_err(Error::Setup)?;
            let builder = match verifier(&clients)? {
                Some(verifier) => builder.with_client_cert_verifier(verifier),
                None => builder.with_no_client_auth(),
            };
            let mut config = builder.with_single_cert(own.chain, own.key).map_err(Error::Setup)?;
            config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
            Ok((Arc::new(config), own.expires))
        });
        reload.map(Self)
    }
}

impl Deref for Server {
    type Target = Arc<Reload<ServerConfig>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

type Verifier = Arc<dyn rustls::server::danger::ClientCertVerifier>;

fn verifier(clients: &Clients) -> Result<Option<Verifier>, Error> {
    let (path, must) = match clients {
        Clients::Any => return Ok(None),
        Clients::MayShow(path) => (path, false),
        Clients::MustShow(path) => (path, true),
    };
    let roots = Arc::new(authorities(path)?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let builder = if must { builder } else { builder.allow_unauthenticated() };
    let unusable = |error: rustls::server::VerifierBuilderError| Error::Unusable {
        path: path.clone(),
        what: AUTHORITY,
        reason: error.to_string(),
    };
    builder.build().map(Some).map_err(unusable)
}
