//! Questions to ctnetlink and its answers, as bytes (include/uapi/linux/netlink.h, netfilter/nfnetlink.h,
//! netfilter/nfnetlink_conntrack.h). Headers are in the machine's byte order, addresses and ports in the network's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use model::Protocol;

use super::Dial;

const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
/// `NFNL_SUBSYS_CTNETLINK << 8`, with `IPCTNL_MSG_CT_NEW` and `IPCTNL_MSG_CT_GET`.
const CT_NEW: u16 = 0x100;
const CT_GET: u16 = 0x101;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const NLA_F_NESTED: u16 = 1 << 15;
const NLA_TYPE_MASK: u16 = 0x3fff;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// Length of a message's header, and of netfilter's own that follows it.
const HEADER: usize = 16;
const NFGENMSG: usize = 4;

/// One message from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Of the question.
    pub sequence: u32,
    pub said: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// A connection as it set out, and as its answers come.
    Entry { original: Ends, reply: Ends },
    /// A positive errno.
    Error(i32),
    /// Something else, or not understood.
    Other,
}

/// Addresses in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub protocol: Protocol,
}

/// Appends the question for the connection that set out as `dial`.
pub fn ask(out: &mut Vec<u8>, sequence: u32, dial: &Dial) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(CT_GET.to_ne_bytes());
    out.extend(NLM_F_REQUEST.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]);
    let family = if dial.client.is_ipv4() { AF_INET } else { AF_INET6 };
    out.extend([family, 0, 0, 0]);
    nest(out, CTA_TUPLE_ORIG, |out| {
        nest(out, CTA_TUPLE_IP, |out| {
            for (end, v4, v6) in [
                (dial.client, CTA_IP_V4_SRC, CTA_IP_V6_SRC),
                (dial.service, CTA_IP_V4_DST, CTA_IP_V6_DST),
            ] {
                match end.ip() {
                    IpAddr::V4(ip) => attribute(out, v4, &ip.octets()),
                    IpAddr::V6(ip) => attribute(out, v6, &ip.octets()),
                }
            }
        });
        nest(out, CTA_TUPLE_PROTO, |out| {
            attribute(out, CTA_PROTO_NUM, &[dial.protocol.0]);
            attribute(out, CTA_PROTO_SRC_PORT, &dial.client.port().to_be_bytes());
            attribute(out, CTA_PROTO_DST_PORT, &dial.service.port().to_be_bytes());
        });
    });
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

fn nest(out: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 2]);
    out.extend((kind | NLA_F_NESTED).to_ne_bytes());
    fill(out);
    let length = (out.len() - start) as u16;
    out[start..start + 2].copy_from_slice(&length.to_ne_bytes());
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend((4 + value.len() as u16).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The messages of one datagram. What does not hold what its length says ends it.
pub fn replies(mut bytes: &[u8]) -> impl Iterator<Item = Reply> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let message = bytes.get(..length).filter(|message| message.len() >= HEADER)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        let sequence = u32::from_ne_bytes([message[8], message[9], message[10], message[11]]);
        let said = said(kind, &message[HEADER..]).unwrap_or(Said::Other);
        Some(Reply { sequence, said })
    })
}

fn said(kind: u16, body: &[u8]) -> Option<Said> {
    match kind {
        NLMSG_ERROR => Some(Said::Error(i32::from_ne_bytes(*body.first_chunk()?).saturating_neg())),
        CT_NEW => {
            let (mut original, mut reply) = (None, None);
            for (kind, value) in attributes(body.get(NFGENMSG..)?) {
                match kind {
                    CTA_TUPLE_ORIG => original = ends(value),
                    CTA_TUPLE_REPLY => reply = ends(value),
                    _ => {}
                }
            }
            Some(Said::Entry { original: original?, reply: reply? })
        }
        _ => None,
    }
}

fn ends(bytes: &[u8]) -> Option<Ends> {
    let (mut source, mut destination) = (None, None);
    let (mut protocol, mut from, mut to) = (None, None, None);
    for (kind, value) in attributes(bytes) {
        match kind {
            CTA_TUPLE_IP => {
                for (kind, value) in attributes(value) {
                    match kind {
                        CTA_IP_V4_SRC => source = v4(value),
                        CTA_IP_V4_DST => destination = v4(value),
                        CTA_IP_V6_SRC => source = v6(value),
                        CTA_IP_V6_DST => destination = v6(value),
                        _ => {}
                    }
                }
            }
            CTA_TUPLE_PROTO => {
                for (kind, value) in attributes(value) {
                    match kind {
                        CTA_PROTO_NUM => protocol = value.first().copied(),
                        CTA_PROTO_SRC_PORT => from = port(value),
                        CTA_PROTO_DST_PORT => to = port(value),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(Ends {
        source: SocketAddr::new(source?, from?),
        destination: SocketAddr::new(destination?, to?),
        protocol: Protocol(protocol?),
    })
}

fn v4(value: &[u8]) -> Option<IpAddr> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into())
}

fn v6(value: &[u8]) -> Option<IpAddr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into())
}

fn port(value: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(value.try_into().ok()?))
}

/// Kind and value of each. What does not hold what its length says ends them.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, c, d] = *bytes.first_chunk()?;
        let length = u16::from_ne_bytes([a, b]) as usize;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & NLA_TYPE_MASK, value))
    })
}

#[cfg(test)]
mod tests;
