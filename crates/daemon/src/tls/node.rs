//! Which node a certificate names.

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
