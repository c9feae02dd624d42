use super::Fields;
use crate::meta::Meta;
use crate::trim::Trim;
use crate::wire::Malformed;
use crate::{Node, Str};

pub fn node(meta: Meta, message: &[u8], trim: &mut Trim) -> Result<Node, Malformed> {
    let mut node = bare(meta);
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            // `NodeSpec`
            2 => {
                for field in Fields::of(field.bytes()) {
                    let field = field?;
                    if field.number == 3 {
                        node.provider = trim.own(field.bytes());
                    }
                }
            }
            // `NodeStatus`
            3 => {
                for field in Fields::of(field.bytes()) {
                    let field = field?;
                    if field.number == 5 {
                        address(&mut node, field.bytes(), trim)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(node)
}

pub fn bare(meta: Meta) -> Node {
    Node {
        uid: meta.uid,
        name: meta.name,
        addresses: Vec::new(),
        hostnames: Vec::new(),
        zone: meta.zone,
        region: meta.region,
        provider: None,
        instance_type: meta.instance_type,
        labels: meta.labels,
    }
}

/// `NodeAddress`.
fn address(node: &mut Node, message: &[u8], trim: &mut Trim) -> Result<(), Malformed> {
    let (mut kind, mut address): (&[u8], &[u8]) = (b"", b"");
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => kind = field.bytes(),
            2 => address = field.bytes(),
            _ => {}
        }
    }
    named(node, kind, address, trim);
    Ok(())
}

pub fn named(node: &mut Node, kind: &[u8], address: &[u8], trim: &mut Trim) {
    match kind {
        b"InternalIP" | b"ExternalIP" => trim.address(&mut node.addresses, address),
        b"Hostname" | b"InternalDNS" | b"ExternalDNS" => {
            let hostname: Option<Str> = trim.own(address);
            if let Some(hostname) = hostname
                && !node.hostnames.contains(&hostname)
                && trim.fits(&node.hostnames)
            {
                node.hostnames.push(hostname);
            }
        }
        _ => {}
    }
}
