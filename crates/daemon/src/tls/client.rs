//! The end that connects.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;

use super::files::authorities;
use super::{Error, Files, Reload, provider};

#[derive(Clone)]
pub struct Client(Arc<Reload<ClientConfig>>);

impl Client {
    /// `authority`: PEM file of the authorities that may vouch for the server; no others may. `own`: what is shown
    /// where the server asks for it. `protocols`: what is spoken here ([`HTTP2`](super::HTTP2)).
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn new(
        authority: PathBuf,
        own: Option<Files>,
        protocols: &'static [&'static [u8]],
    ) -> Result<Self, Error> {
        let mut files = vec![authority.clone()];
        files.extend(own.iter().flat_map(|own| [own.certificate.clone(), own.key.clone()]));
        let reload = Reload::new(files, move || {
            let builder = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .map_err(Error::Setup)?
                .with_root_certificates(authorities(&authority)?);
            let (mut config, expires) = match own.as_ref().map(Files::read).transpose()? {
                Some(own) => {
                    let config = builder.with_client_auth_cert(own.chain, own.key);
                    (config.map_err(Error::Setup)?, own.expires)
                }
                None => (builder.with_no_client_auth(), 0),
            };
            config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
            Ok((Arc::new(config), expires))
        });
        reload.map(Self)
    }
}

impl Deref for Client {
    type Target = Arc<Reload<ClientConfig>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
