//! Whom a certificate names.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// No name of a node is longer.
const MOST_BYTES: usize = 253;

/// The node that the first of these verified certificates names, in one of two forms:
///
/// - a URI among its alternative names, of scheme `spiffe`, that ends in `/node/NAME`, such as
///   `spiffe://cluster.local/node/worker-1`;
/// - the common name `system:node:NAME`, as a kubelet's certificate has it.
///
/// None if there is none, or if there are two that differ.
pub fn node(certificates: &[CertificateDer<'_>]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificates.first()?).ok()?;
    let alternative = certificate.subject_alternative_name().ok()?;
    let uris = alternative.iter().flat_map(|it| &it.value.general_names).filter_map(|name| {
        let GeneralName::URI(uri) = name else { return None };
        let (above, node) = uri.strip_prefix("spiffe://")?.rsplit_once('/')?;
        above.ends_with("/node").then_some(node)
    });
    let common = certificate.subject().iter_common_name();
    let common = common.filter_map(|it| it.as_str().ok()?.strip_prefix("system:node:"));
    let mut nodes = uris.chain(common);
    let node = nodes.next()?;
    let named = node.bytes().all(|it| it.is_ascii_alphanumeric() || b"-._".contains(&it));
    let sure = named && !node.is_empty() && node.len() <= MOST_BYTES;
    (sure && nodes.all(|other| other == node)).then(|| node.to_owned())
}

/// Whether the first of these verified certificates is for this DNS name or IP address. A `*` in it stands for nothing.
pub fn is_for(certificates: &[CertificateDer<'_>], host: &str) -> bool {
    let certificate = certificates.first().and_then(|it| X509Certificate::from_der(it).ok());
    let Some((_, certificate)) = certificate else { return false };
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return false };
    let ip = host.parse::<IpAddr>().map(|it| match it {
        IpAddr::V4(it) => it.octets().to_vec(),
        IpAddr::V6(it) => it.octets().to_vec(),
    });
    alternative.value.general_names.iter().any(|name| match (name, &ip) {
        (GeneralName::DNSName(name), Err(_)) => name.eq_ignore_ascii_case(host),
        (GeneralName::IPAddress(bytes), Ok(ip)) => *bytes == &ip[..],
        _ => false,
    })
}
