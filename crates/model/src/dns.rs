//! DNS lookups, and the names of what they ask for and come to (IANA, "Domain Name System (DNS) Parameters").

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// A question to a name server, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    /// Lower case, without the last dot; at most 1,024 printable characters.
    pub name: Arc<str>,
    /// The type of the records asked for; see [`type_name`].
    pub kind: u16,
    /// The response code; `None`: no answer came in time.
    pub code: Option<u16>,
    /// Records in the answer.
    pub answers: u16,
    /// The addresses among them, and the names that stand between; a bounded number of each.
    pub addresses: Vec<IpAddr>,
    pub aliases: Vec<Arc<str>>,
    /// How long these hold, in seconds.
    pub ttl_s: u32,
    /// The answer was cut short by the server.
    pub truncated: bool,
    /// From the first query to the answer; without one, how long it was waited for.
    pub duration_ns: u64,
    /// How often the question was asked again.
    pub retries: u32,
}

pub const NOERROR: u16 = 0;
pub const NXDOMAIN: u16 = 3;

impl Lookup {
    /// No answer, or a server that would or could not tell. That a name does not exist is an ordinary answer: resolvers
    /// walk through their search lists with it.
    pub fn failed(&self) -> bool {
        !matches!(self.code, Some(NOERROR | NXDOMAIN))
    }
}

/// `NXDOMAIN`; `None` for a code without a name.
pub fn code_name(code: u16) -> Option<&'static str> {
    Some(match code {
        NOERROR => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        NXDOMAIN => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        11 => "DSOTYPENI",
        16 => "BADVERS",
        17 => "BADKEY",
        18 => "BADTIME",
        19 => "BADMODE",
        20 => "BADNAME",
        21 => "BADALG",
        22 => "BADTRUNC",
        23 => "BADCOOKIE",
        _ => return None,
    })
}

/// The code behind a name, `RCODE15` included; `None`: there is no such name.
pub fn code_of(name: &str) -> Option<u16> {
    let numbered = name.strip_prefix("RCODE").and_then(|number| number.parse().ok());
    numbered.or_else(|| (0..=23).find(|code| code_name(*code) == Some(name)))
}

/// `AAAA`; `TYPE1234` for a type without a name here (RFC 3597).
pub fn type_name(kind: u16) -> Cow<'static, str> {
    let name = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        39 => "DNAME",
        43 => "DS",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        other => return format!("TYPE{other}").into(),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_from_answers() {
        let failed = |code| Lookup { code, ..Lookup::default() }.failed();
        assert!(failed(None) && failed(Some(2)) && failed(Some(5)) && failed(Some(4000)));
        assert!(!failed(Some(NOERROR)) && !failed(Some(NXDOMAIN)));
    }

    #[test]
    fn names_are_found() {
        assert_eq!((code_name(2), code_name(12)), (Some("SERVFAIL"), None));
        assert_eq!(
            (code_of("SERVFAIL"), code_of("BADCOOKIE"), code_of("RCODE15")),
            (Some(2), Some(23), Some(15))
        );
        assert_eq!(code_of("nonsense"), None);
        assert_eq!((type_name(28), type_name(999)), ("AAAA".into(), Cow::from("TYPE999")));
    }
}
