//! DNS messages (RFC 1035, RFC 6891), also cut short: what can be read is told, and whether that is all.

mod name;
mod reader;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reader::Reader;

/// Addresses, and other names, that one message is read for.
pub const MAX_ANSWERS: usize = 16;

const OPCODE_QUERY: u16 = 0;
const CLASS_IN: u16 = 1;
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: u16,
    pub response: bool,
    /// The sender had more to say than fits into a datagram.
    pub truncated: bool,
    /// The response code, with the bits that EDNS adds.
    pub code: u16,
    /// An answer may come without.
    pub question: Option<Question>,
    /// Records in the answer, as the message says.
    pub answers: u16,
    /// Those of them that could be read and are addresses; at most [`MAX_ANSWERS`].
    pub addresses: Vec<IpAddr>,
    /// Names that the one asked for stands for (CNAME), as far as they could be read; at most [`MAX_ANSWERS`].
    pub aliases: Vec<String>,
    /// The least time to live of all these, in seconds.
    pub ttl_s: Option<u32>,
    /// All that the header announces was there.
    pub complete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Lower case, without the last dot; what is no printable ASCII is escaped as in zone files. `.` is the root.
    pub name: String,
    /// The type of the records asked for.
    pub kind: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("ends before the header or the question does")]
    Short,
    #[error("asks {0} questions")]
    Questions(u16),
    #[error("has a name that is none")]
    Name,
    /// A message of DNS, but neither a query nor the answer to one.
    #[error("is operation {0}, not a query")]
    Operation(u16),
}

/// Reads the message at the front of `bytes`.
///
/// # Errors
/// The header or the question cannot be read. What follows them may be missing or malformed: see
/// [`Message::complete`].
pub fn parse(bytes: &[u8]) -> Result<Message, Error> {
    let mut reader = Reader::new(bytes);
    let mut word = || reader.u16().ok_or(Error::Short);
    let (id, flags) = (word()?, word()?);
    let (questions, answers, authorities, additional) = (word()?, word()?, word()?, word()?);
    let opcode = flags >> 11 & 0xf;
    if opcode != OPCODE_QUERY {
        return Err(Error::Operation(opcode));
    }
    let response = flags & 0x8000 != 0;
    let question = match questions {
        1 => Some(question(&mut reader)?),
        0 if response => None,
        other => return Err(Error::Questions(other)),
    };
    let mut message = Message {
        id,
        response,
        truncated: flags & 0x0200 != 0,
        code: flags & 0xf,
        question,
        answers,
        addresses: Vec::new(),
        aliases: Vec::new(),
        ttl_s: None,
        complete: false,
    };
    message.complete = message
        .records(&mut reader, answers, u32::from(authorities) + u32::from(additional))
        .is_some();
    Ok(message)
}

fn question(reader: &mut Reader<'_>) -> Result<Question, Error> {
    let name = name::read(reader)?;
    let kind = reader.u16().ok_or(Error::Short)?;
    reader.u16().ok_or(Error::Short)?;
    Ok(Question { name, kind })
}

impl Message {
    /// `None` where they end early.
    fn records(&mut self, reader: &mut Reader<'_>, answers: u16, others: u32) -> Option<()> {
        for _ in 0..answers {
            let record = Record::read(reader)?;
            self.answer(&record)?;
        }
        for _ in 0..others {
            let record = Record::read(reader)?;
            if record.kind == TYPE_OPT {
                // The upper eight bits of the code are where others have their time to live.
                self.code |= (record.ttl_s >> 24 << 4) as u16;
            }
        }
        Some(())
    }

    fn answer(&mut self, record: &Record<'_>) -> Option<()> {
        if record.class != CLASS_IN {
            return Some(());
        }
        let address = match record.kind {
            TYPE_A => {
                Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(record.data.rest()).ok()?)))
            }
            TYPE_AAAA => {
                Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(record.data.rest()).ok()?)))
            }
            TYPE_CNAME => {
                let alias = name::read(&mut record.data.clone()).ok()?;
                if self.aliases.len() < MAX_ANSWERS {
                    self.aliases.push(alias);
                }
                None
            }
            _ => return Some(()),
        };
        self.addresses.extend(address.filter(|_| self.addresses.len() < MAX_ANSWERS));
        self.ttl_s = Some(self.ttl_s.map_or(record.ttl_s, |least| least.min(record.ttl_s)));
        Some(())
    }
}

struct Record<'a> {
    kind: u16,
    class: u16,
    ttl_s: u32,
    data: Reader<'a>,
}

impl<'a> Record<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        name::skip(reader)?;
        let (kind, class, ttl_s) = (reader.u16()?, reader.u16()?, reader.u32()?);
        let length = reader.u16()?;
        Some(Self { kind, class, ttl_s, data: reader.take(usize::from(length))? })
    }
}

#[cfg(test)]
mod tests;
