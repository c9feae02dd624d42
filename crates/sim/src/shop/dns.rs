//! DNS messages (RFC 1035), as far as one question about addresses needs.

use std::net::IpAddr;

pub const TYPE_A: u16 = 1;
pub const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
const FLAG_RESPONSE: u16 = 0x8000;
const FLAG_AUTHORITATIVE: u16 = 0x0400;
const FLAG_RECURSION_DESIRED: u16 = 0x0100;
const RCODE_NAME_ERROR: u16 = 3;
const HEADER_BYTES: usize = 12;
/// Pointer to the name in the question, right after the header.
const QUESTION_NAME: u16 = 0xc00c;
/// Pods move; as CoreDNS does for cluster names.
const TTL_SECONDS: u32 = 5;

/// Largest message over UDP without EDNS.
pub const MAX_BYTES: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub id: u16,
    /// Lower case, without the last dot.
    pub name: String,
    pub kind: u16,
}

impl Question {
    /// The query. None if the name cannot be written.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut message = header(self.id, FLAG_RECURSION_DESIRED, 0);
        self.encode_question(&mut message)?;
        Some(message)
    }

    fn encode_question(&self, message: &mut Vec<u8>) -> Option<()> {
        for label in self.name.split('.') {
            let length =
                u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
            message.push(length);
            message.extend_from_slice(label.as_bytes());
        }
        message.push(0);
        message.extend_from_slice(&self.kind.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        Some(())
    }

    /// Reads a query. None if it is not one, or not a plain one.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let flags = u16_at(message, 2)?;
        if flags & FLAG_RESPONSE != 0 || u16_at(message, 4)? != 1 {
            return None;
        }
        let (name, end) = name_at(message, HEADER_BYTES)?;
        Some(Self { id: u16_at(message, 0)?, name, kind: u16_at(message, end)? })
    }

    /// The answer: `addresses` of the asked kind, or None for a name that does not exist.
    pub fn answer(&self, addresses: Option<&[IpAddr]>) -> Option<Vec<u8>> {
        let wanted = |ip: &&IpAddr| {
            (self.kind == TYPE_A && ip.is_ipv4()) || (self.kind == TYPE_AAAA && ip.is_ipv6())
        };
        // What fits into one message; nobody here has so many.
        let found: Vec<IpAddr> =
            addresses.unwrap_or_default().iter().filter(wanted).take(8).copied().collect();
        let rcode = if addresses.is_none() { RCODE_NAME_ERROR } else { 0 };
        let flags = FLAG_RESPONSE | FLAG_AUTHORITATIVE | FLAG_RECURSION_DESIRED | rcode;
        let mut message = header(self.id, flags, u16::try_from(found.len()).ok()?);
        self.encode_question(&mut message)?;
        for ip in found {
            message.extend_from_slice(&QUESTION_NAME.to_be_bytes());
            message.extend_from_slice(&self.kind.to_be_bytes());
            message.extend_from_slice(&CLASS_IN.to_be_bytes());
            message.extend_from_slice(&TTL_SECONDS.to_be_bytes());
            match ip {
                IpAddr::V4(ip) => data(&mut message, &ip.octets()),
                IpAddr::V6(ip) => data(&mut message, &ip.octets()),
            }
        }
        Some(message)
    }
}

/// The addresses in an answer to the query `id`. None if it is no answer to it.
pub fn decode_answer(message: &[u8], id: u16) -> Option<Vec<IpAddr>> {
    if u16_at(message, 0)? != id || u16_at(message, 2)? & FLAG_RESPONSE == 0 {
        return None;
    }
    let (_, end) = name_at(message, HEADER_BYTES)?;
    let mut at = end + 4;
    let mut addresses = Vec::new();
    for _ in 0..u16_at(message, 6)? {
        let (_, end) = name_at(message, at)?;
        let (kind, length) = (u16_at(message, end)?, usize::from(u16_at(message, end + 8)?));
        let bytes = message.get(end + 10..end + 10 + length)?;
        match kind {
            TYPE_A => addresses.push(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
            TYPE_AAAA => addresses.push(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
            _ => {}
        }
        at = end + 10 + length;
    }
    Some(addresses)
}

fn header(id: u16, flags: u16, answers: u16) -> Vec<u8> {
    [id, flags, 1, answers, 0, 0].into_iter().flat_map(u16::to_be_bytes).collect()
}

fn data(message: &mut Vec<u8>, bytes: &[u8]) {
    message.extend_from_slice(&[0, bytes.len().to_le_bytes()[0]]);
    message.extend_from_slice(bytes);
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

/// The name at `at`, and where it ends. A pointer is not followed: it only says where the name ends.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        match length {
            0 => return Some((name, at)),
            1..64 => {
                let label = std::str::from_utf8(message.get(at..at + length)?).ok()?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&label.to_ascii_lowercase());
                at += length;
            }
            0xc0.. => return Some((name, at + 1)),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_survive_the_wire() {
        let question =
            Question { id: 7, name: "cart.shop.svc.cluster.local".to_owned(), kind: TYPE_AAAA };
        let query = question.encode().unwrap();
        assert_eq!(Question::decode(&query), Some(question.clone()));
        let ips: [IpAddr; 3] =
            ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap(), "fd00::2".parse().unwrap()];
        let answer = question.answer(Some(&ips)).unwrap();
        assert!(answer.len() <= MAX_BYTES);
        assert_eq!(decode_answer(&answer, 7).unwrap(), ips[1..]);
        assert_eq!(decode_answer(&answer, 8), None);
        let unknown = question.answer(None).unwrap();
        assert!(decode_answer(&unknown, 7).unwrap().is_empty());
        assert_eq!(unknown[3] & 15, 3);
        for cut in 0..answer.len() {
            assert_eq!(decode_answer(&answer[..cut], 7), None, "cut at {cut}");
        }
        for cut in 0..query.len() - 2 {
            assert_eq!(Question::decode(&query[..cut]), None, "cut at {cut}");
        }
    }
}
