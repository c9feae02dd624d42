use proptest::prelude::*;

use super::*;

fn dial(client: &str, service: &str, protocol: Protocol) -> Dial {
    Dial { client: client.parse().unwrap(), service: service.parse().unwrap(), protocol }
}

fn ends(source: &str, destination: &str) -> Ends {
    Ends {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: Protocol::TCP,
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[track_caller]
fn check_question(dial: Dial, expected: &str) {
    let mut out = Vec::new();
    ask(&mut out, 7, &dial);
    assert_eq!(out, hex(expected));
}

// The bytes are a little-endian machine's, as both architectures are that this is built for.
#[test]
fn questions() {
    check_question(
        dial("10.1.0.1:40000", "10.96.0.10:80", Protocol::TCP),
        "48000000 0101 0100 07000000 00000000  02 00 0000
         3400 0180
           1400 0180  0800 0100 0a010001  0800 0200 0a60000a
           1c00 0280  0500 0100 06000000  0600 0200 9c400000  0600 0300 00500000",
    );
    check_question(
        dial("[fd00::1]:40000", "[fd00::a]:53", Protocol::UDP),
        "60000000 0101 0100 07000000 00000000  0a 00 0000
         4c00 0180
           2c00 0180  1400 0300 fd000000000000000000000000000001  1400 0400 fd00000000000000000000000000000a
           1c00 0280  0500 0100 11000000  0600 0200 9c400000  0600 0300 00350000",
    );
}

/// As Linux 6.18 answered, but for the counters after the tuples.
const ENTRY: &str = "
    8c000000 0001 0000 07000000 e3190000  02 00 0000
    3400 0180
      1400 0180  0800 0100 0ac90102  0800 0200 0a60000a
      1c00 0280  0500 0100 06000000  0600 0200 c8b00000  0600 0300 00500000
    3400 0280
      1400 0180  0800 0100 0ac90202  0800 0200 0ac90102
      1c00 0280  0500 0100 06000000  0600 0200 1f900000  0600 0300 c8b00000
    0800 0300 0000018e
    0800 0700 00000077";
/// No such entry: the errno, and the header of the question.
const NO_ENTRY: &str = "
    24000000 0200 0001 08000000 e3190000  feffffff  48000000 0101 0100 08000000 00000000";

#[test]
fn answers_of_one_datagram() {
    let datagram = [hex(ENTRY), hex(NO_ENTRY)].concat();
    let found: Vec<Reply> = replies(&datagram).collect();
    let entry = Said::Entry {
        original: ends("10.201.1.2:51376", "10.96.0.10:80"),
        reply: ends("10.201.2.2:8080", "10.201.1.2:51376"),
    };
    let expected =
        [Reply { sequence: 7, said: entry }, Reply { sequence: 8, said: Said::Error(2) }];
    assert_eq!(found, expected);
}

#[test]
fn what_is_incomplete_is_nothing() {
    let entry = hex(ENTRY);
    // Cut anywhere, a message does not hold what its length says.
    for length in 0..entry.len() {
        assert_eq!(replies(&entry[..length]).next(), None, "{length}");
    }
    // With its length put right it does, and lacks tuples.
    for length in HEADER..0x7c {
        let mut cut = entry[..length].to_vec();
        cut[0] = length as u8;
        let said = replies(&cut).next().map(|reply| reply.said);
        assert_eq!(said, Some(Said::Other), "{length}");
    }
    let mut endless = entry;
    endless[..4].fill(0);
    assert_eq!(replies(&endless).next(), None);
}

proptest! {
    #[test]
    fn hostile_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(replies(&bytes).count() <= bytes.len() / HEADER + 1);
    }

    #[test]
    fn a_damaged_entry(at in 0_usize..0x8c, to in any::<u8>()) {
        let mut bytes = hex(ENTRY);
        bytes[at] = to;
        prop_assert!(replies(&bytes).count() <= bytes.len() / HEADER);
    }

    #[test]
    fn a_question_reads_back(
        client in any::<(std::net::Ipv6Addr, u16)>(),
        service in any::<(std::net::Ipv6Addr, u16)>(),
        protocol in any::<u8>(),
    ) {
        let protocol = Protocol(protocol);
        let dial = Dial { client: client.into(), service: service.into(), protocol };
        let mut bytes = Vec::new();
        ask(&mut bytes, 0, &dial);
        let tuple = attributes(&bytes[HEADER + NFGENMSG..]).next().map(|(_, value)| value);
        let Dial { client, service, protocol } = dial;
        let expected = Ends { source: client, destination: service, protocol };
        prop_assert_eq!(tuple.and_then(super::ends), Some(expected));
    }
}
