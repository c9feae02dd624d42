use std::str::FromStr;

use hickory_proto::op::{Edns, Message as Theirs, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;

use super::*;

/// `id flags questions answers authorities additional`, then `rest`.
fn message(words: [u16; 6], rest: &[u8]) -> Vec<u8> {
    words.into_iter().flat_map(u16::to_be_bytes).chain(rest.iter().copied()).collect()
}

/// A query for the A records of the name in `wire`.
fn query(wire: &[u8]) -> Vec<u8> {
    message([7, 0x0100, 1, 0, 0, 0], &[wire, &[0, 1, 0, 1]].concat())
}

fn name(wire: &[u8]) -> Result<String, Error> {
    parse(&query(wire)).map(|message| message.question.unwrap().name)
}

/// An answer of `records` to a query for `a.example`.
fn answer(records: &[&[u8]]) -> Vec<u8> {
    let count = records.len() as u16;
    let question = b"\x01a\x07example\0\0\x01\0\x01";
    message([7, 0x8180, 1, count, 0, 0], &[question, records.concat().as_slice()].concat())
}

const A_RECORD: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01";

#[test]
fn a_query_is_read() {
    let read = parse(&query(b"\x03WWW\x07Example\0")).unwrap();
    assert_eq!(read.question, Some(Question { name: "www.example".into(), kind: 1 }));
    assert_eq!((read.id, read.response, read.code, read.complete), (7, false, 0, true));
}

#[test]
fn names_that_are_no_text_are_escaped() {
    assert_eq!(name(b"\0").unwrap(), ".");
    assert_eq!(name(b"\x03a.b\x02\\\x1b\x01\xff\0").unwrap(), "a\\.b.\\\\\\027.\\255");
}

#[test]
fn the_longest_name_is_read_and_no_longer_one() {
    let label = |length: u8| [&[length][..], &vec![b'x'; length.into()]].concat();
    let longest = [label(63), label(63), label(63), label(61), vec![0]].concat();
    assert_eq!(longest.len(), 255);
    assert_eq!(name(&longest).unwrap().len(), 253);
    assert_eq!(
        name(&[label(63), label(63), label(63), label(62), vec![0]].concat()),
        Err(Error::Name)
    );
}

#[test]
fn loops_of_pointers_end() {
    // At itself, ahead, and at a label that leads back to it.
    assert_eq!(name(b"\xc0\x0c"), Err(Error::Name));
    assert_eq!(name(b"\xc0\x0e\x01a\0"), Err(Error::Name));
    assert_eq!(name(b"\x01a\xc0\x0c"), Err(Error::Name));
    // Two that point at each other: the second record's alias at the first one's, and that ahead.
    let alias = |to: u8| [b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\xc0".as_slice(), &[to]].concat();
    let first = answer(&[]).len() as u8 + 12;
    let looped = parse(&answer(&[&alias(first + 14), &alias(first)])).unwrap();
    assert_eq!((looped.complete, looped.aliases.len()), (false, 0));
    // Into the header: bytes like any others, but before.
    assert!(name(b"\xc0\x00").is_ok());
    // A long way back is fine, one step at a time.
    let steps: Vec<u8> = (0..40_u8).flat_map(|step| [0xc0, 12 + 2 * step]).collect();
    let chain = [b"\x01a\0\0\x01\0\x01".as_slice(), &steps].concat();
    parse(&message([1, 0x8000, 1, 60, 0, 0], &chain)).unwrap();
}

#[test]
fn reserved_labels_are_refused() {
    assert_eq!(name(b"\x40a\0"), Err(Error::Name));
    assert_eq!(name(b"\x80a\0"), Err(Error::Name));
}

#[test]
fn answers_are_read_as_far_as_they_go() {
    let whole = answer(&[A_RECORD, A_RECORD]);
    let read = parse(&whole).unwrap();
    assert_eq!((read.answers, read.addresses.len(), read.ttl_s), (2, 2, Some(60)));
    assert!(read.complete && read.response);
    let question = whole.len() - 2 * A_RECORD.len();
    for cut in 0..whole.len() {
        match parse(&whole[..cut]) {
            Err(error) => assert!(cut < question && error == Error::Short, "{cut}"),
            Ok(read) => {
                assert!(cut >= question && !read.complete, "{cut}");
                assert_eq!(read.answers, 2, "{cut}");
                assert_eq!(read.addresses.len(), (cut - question) / A_RECORD.len(), "{cut}");
            }
        }
    }
}

#[test]
fn more_records_than_one_wants_to_know() {
    let many = parse(&answer(&[A_RECORD; 1000])).unwrap();
    assert_eq!((many.answers, many.addresses.len(), many.complete), (1000, MAX_ANSWERS, true));
    // And fewer than are announced.
    let announced = message([7, 0x8180, 0, u16::MAX, u16::MAX, u16::MAX], A_RECORD);
    let read = parse(&announced).unwrap();
    assert_eq!((read.answers, read.addresses.len(), read.complete), (u16::MAX, 1, false));
    assert_eq!(read.question, None);
}

#[test]
fn an_address_of_the_wrong_length_is_none() {
    let long = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x05\x0a\0\0\x01\x01";
    let read = parse(&answer(&[A_RECORD, long])).unwrap();
    assert_eq!((read.addresses.len(), read.complete), (1, false));
    // Of another class it means something else.
    let chaos = b"\xc0\x0c\0\x01\0\x03\0\0\0\x3c\0\x04\x0a\0\0\x01";
    let read = parse(&answer(&[chaos])).unwrap();
    assert_eq!((read.addresses.len(), read.ttl_s, read.complete), (0, None, true));
}

#[test]
fn other_operations_and_other_traffic_are_told_apart() {
    assert_eq!(
        parse(&message([7, 4 << 11, 1, 0, 0, 0], b"\0\0\x06\0\x01")),
        Err(Error::Operation(4))
    );
    assert_eq!(parse(&message([7, 0, 0, 0, 0, 0], b"")), Err(Error::Questions(0)));
    assert_eq!(
        parse(&message([7, 0, 2, 0, 0, 0], b"\0\0\x01\0\x01\0\0\x01\0\x01")),
        Err(Error::Questions(2))
    );
    assert_eq!(parse(b""), Err(Error::Short));
    // Only the header comes back with some errors.
    let refused = parse(&message([7, 0x8005, 0, 0, 0, 0], b"")).unwrap();
    assert_eq!((refused.code, refused.question, refused.complete), (5, None, true));
}

#[test]
fn an_alias_must_end_with_its_record() {
    // The name goes on into the next record.
    let open = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\x02a";
    let read = parse(&answer(&[open, A_RECORD])).unwrap();
    assert_eq!((read.aliases.len(), read.addresses.len(), read.complete), (0, 0, false));
}

/// What a widely used implementation writes is read as it was meant.
#[test]
fn an_answer_with_aliases_and_edns() {
    let name = |text: &str| Name::from_str(text).unwrap();
    let mut theirs = Theirs::new(9, MessageType::Response, OpCode::Query);
    theirs.add_query(Query::query(name("API.Payments.example."), RecordType::A));
    let (alias, edge) = (name("api.payments.example."), name("edge-1.cdn.example."));
    theirs.add_answer(Record::from_rdata(alias, 300, RData::CNAME(CNAME(edge.clone()))));
    theirs.add_answer(Record::from_rdata(edge.clone(), 30, RData::A(A::new(203, 0, 113, 10))));
    theirs.add_answer(Record::from_rdata(edge.clone(), 40, RData::TXT(TXT::new(vec!["x".into()]))));
    theirs.add_answer(Record::from_rdata(
        edge,
        60,
        RData::AAAA(AAAA::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
    ));
    theirs.set_edns(Edns::new());
    theirs.metadata.response_code = ResponseCode::BADVERS;
    theirs.metadata.truncation = true;
    let read = parse(&theirs.to_vec().unwrap()).unwrap();
    let expected = Message {
        id: 9,
        response: true,
        truncated: true,
        code: 16,
        question: Some(Question { name: "api.payments.example".into(), kind: 1 }),
        answers: 4,
        addresses: vec!["203.0.113.10".parse().unwrap(), "fd00::1".parse().unwrap()],
        aliases: vec!["edge-1.cdn.example".into()],
        ttl_s: Some(30),
        complete: true,
    };
    assert_eq!(read, expected);
}

/// Random bytes, and a valid message with some bytes replaced: the latter goes deeper.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let valid = answer(&[A_RECORD, b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01b\xc0\x0e", A_RECORD]);
    let length = valid.len();
    let damaged = prop::collection::vec((0..length, any::<u8>()), 1..8).prop_map(move |changes| {
        let mut bytes = valid.clone();
        changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        bytes
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..1500), damaged]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_bytes_do_harm(bytes in hostile()) {
        if let Ok(message) = parse(&bytes) {
            prop_assert!(message.addresses.len() <= MAX_ANSWERS && message.aliases.len() <= MAX_ANSWERS);
            let names = message.question.iter().map(|question| &question.name).chain(&message.aliases);
            for name in names {
                prop_assert!(!name.is_empty() && name.len() <= 4 * 255, "{name}");
                prop_assert!(name.bytes().all(|byte| (0x21..0x7f).contains(&byte)), "{name:?}");
            }
        }
    }

    /// Whatever that implementation can read is read here, and the same.
    #[test]
    fn both_read_the_same(bytes in hostile()) {
        let Ok(theirs) = Theirs::from_vec(&bytes) else { return Ok(()) };
        let Ok(ours) = parse(&bytes) else {
            let plain = theirs.metadata.op_code == OpCode::Query && theirs.queries.len() == 1;
            prop_assert!(!plain, "{theirs:?}");
            return Ok(());
        };
        prop_assert_eq!(ours.id, theirs.metadata.id);
        prop_assert_eq!(ours.response, theirs.metadata.message_type == MessageType::Response);
        let kind = theirs.queries.first().map(|query| u16::from(query.query_type));
        prop_assert_eq!(ours.question.as_ref().map(|question| question.kind), kind);
        let addresses = theirs.answers.iter().filter(|it| it.dns_class == hickory_proto::rr::DNSClass::IN).filter_map(|record| match &record.data {
            RData::A(A(ip)) => Some(IpAddr::V4(*ip)),
            RData::AAAA(AAAA(ip)) => Some(IpAddr::V6(*ip)),
            _ => None,
        });
        prop_assert_eq!(ours.addresses, addresses.take(MAX_ANSWERS).collect::<Vec<_>>());
    }
}
