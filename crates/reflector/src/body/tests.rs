use proptest::prelude::*;

use super::*;
use crate::encode::{self, Message, message};

/// A part that outlives its body.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Item(Vec<u8>),
    Metadata(Vec<u8>),
    TooLarge,
}

const LIMIT: usize = 1000;

fn read(mut body: Body, chunks: &[&[u8]]) -> (Vec<Told>, Result<bool, Malformed>) {
    let mut told = Vec::new();
    for chunk in chunks {
        body.push(Bytes::copy_from_slice(chunk));
        loop {
            told.push(match body.next() {
                Ok(None) => break,
                Ok(Some(Part::Item(bytes))) => Told::Item(bytes.to_vec()),
                Ok(Some(Part::Metadata(bytes))) => Told::Metadata(bytes.to_vec()),
                Ok(Some(Part::TooLarge)) => Told::TooLarge,
                Err(error) => return (told, Err(error)),
            });
        }
    }
    (told, Ok(body.complete()))
}

/// The same bytes in pieces, each of the next length, over and over.
fn split<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    let mut lengths = lengths.iter().cycle();
    while !bytes.is_empty() {
        let length = lengths.next().copied().unwrap_or(bytes.len()).clamp(1, bytes.len());
        let (chunk, rest) = bytes.split_at(length);
        chunks.push(chunk);
        bytes = rest;
    }
    chunks
}

fn items(sizes: &[usize]) -> Vec<Message> {
    sizes.iter().map(|size| message().bytes(1, "i".repeat(*size))).collect()
}

/// What a list of items of these sizes is told as.
fn told(meta: &Message, items: &[Message]) -> Vec<Told> {
    let item = |item: &Message| match item.0.len() {
        0..=LIMIT => Told::Item(item.0.clone()),
        _ => Told::TooLarge,
    };
    std::iter::once(Told::Metadata(meta.0.clone())).chain(items.iter().map(item)).collect()
}

fn json_list(items: &[String]) -> String {
    let meta = r#"{"resourceVersion":"7","continue":"{\"items\":[{"}"#;
    format!(r#"{{"kind":"items","metadata":{meta}, "items" : [{}]}}"#, items.join(",\n"))
}

fn json_item(size: usize) -> String {
    format!(r#"{{"metadata":{{"name":"}}]\"{}"}},"items":[{{}}]}}"#, "x".repeat(size))
}

#[test]
fn a_list_whatever_stands_beside_its_items() {
    let list = message()
        .number(7, u64::MAX)
        .message(1, message().bytes(2, "7"))
        .fixed(9, 1)
        .message(2, message().bytes(1, "one"))
        .bytes(5, "x".repeat(2000))
        .message(2, message());
    let bytes = encode::enveloped("PodList", &list);
    let (parts, end) = read(Body::list(Format::Protobuf, LIMIT), &[&bytes]);
    let meta = message().bytes(2, "7");
    assert_eq!(parts, told(&meta, &[message().bytes(1, "one"), message()]));
    assert_eq!(end, Ok(true));
}

fn fails(body: Body, bytes: &[u8], expected: Malformed) {
    let (_, end) = read(body, &[bytes]);
    assert_eq!(end, Err(expected), "{bytes:02x?}");
}

#[test]
fn what_is_no_list_ends_in_an_error() {
    let list = || Body::list(Format::Protobuf, LIMIT);
    fails(list(), b"{\"kind\":", Malformed::Magic);
    fails(list(), b"k8s\0\x13", Malformed::Field);
    // An item that is longer than its list.
    fails(list(), b"k8s\0\x12\x03\x12\x09xxxxxxxxx", Malformed::Truncated);
    // A key that begins in the list and ends after it.
    fails(list(), b"k8s\0\x12\x01\x92\x02\x00", Malformed::Truncated);
    let long = message().bytes(1, vec![0; METADATA_BYTES + 1]);
    let long = encode::enveloped("PodList", &long);
    fails(list(), &long, Malformed::TooLong(METADATA_BYTES));
    fails(Body::list(Format::Json, LIMIT), b"]", Malformed::Json);
    fails(Body::list(Format::Json, LIMIT), &[b'['; 2000], Malformed::Json);
    fails(Body::watch(Format::Json, LIMIT), b"}", Malformed::Json);
}

#[test]
fn after_an_error_there_is_only_that_error() {
    let mut body = Body::list(Format::Protobuf, LIMIT);
    body.push(Bytes::from_static(b"no"));
    assert_eq!(body.next(), Err(Malformed::Magic));
    body.push(Bytes::from_static(b"k8s\0"));
    assert_eq!(body.next(), Err(Malformed::Magic));
}

#[test]
fn an_empty_list_is_complete() {
    let (parts, end) = read(Body::list(Format::Protobuf, LIMIT), &[&encode::list("7", "", &[])]);
    assert_eq!((parts.len(), end), (1, Ok(true)));
    let text = br#"{"metadata":{"resourceVersion":"7"},"items":null}"#;
    let (parts, end) = read(Body::list(Format::Json, LIMIT), &[text]);
    assert_eq!((parts, end), (vec![Told::Metadata(text.to_vec())], Ok(true)));
}

proptest! {
    #[test]
    fn a_list_in_any_chunks_is_the_same(
        sizes in proptest::collection::vec(0..1500usize, 0..20),
        lengths in proptest::collection::vec(1..700usize, 1..20),
    ) {
        let items = items(&sizes);
        let bytes = encode::list("7", "next", &items);
        let (parts, end) = read(Body::list(Format::Protobuf, LIMIT), &split(&bytes, &lengths));
        prop_assert_eq!(parts, told(&message().bytes(2, "7").bytes(3, "next"), &items));
        prop_assert_eq!(end, Ok(true));
        // Nothing shorter is a whole list; what comes after it does no harm.
        let tail = message().bytes(3, "").bytes(4, "").0.len();
        let cut = lengths[0].min(bytes.len() - tail - 1);
        let (_, end) = read(Body::list(Format::Protobuf, LIMIT), &[&bytes[..cut]]);
        prop_assert_eq!(end, Ok(false));
    }

    #[test]
    fn a_watch_in_any_chunks_is_the_same(
        sizes in proptest::collection::vec(0..1500usize, 0..20),
        lengths in proptest::collection::vec(1..700usize, 1..20),
    ) {
        let frames: Vec<Vec<u8>> = sizes.iter().map(|size| vec![7; *size]).collect();
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|frame| [&(frame.len() as u32).to_be_bytes()[..], frame].concat())
            .collect();
        let expected: Vec<Told> = frames
            .into_iter()
            .map(|frame| if frame.len() > LIMIT + 256 { Told::TooLarge } else { Told::Item(frame) })
            .collect();
        let (parts, end) = read(Body::watch(Format::Protobuf, LIMIT), &split(&bytes, &lengths));
        prop_assert_eq!(parts, expected);
        prop_assert_eq!(end, Ok(true));
    }

    #[test]
    fn json_in_any_chunks_is_the_same(
        sizes in proptest::collection::vec(0..1500usize, 0..20),
        lengths in proptest::collection::vec(1..700usize, 1..20),
    ) {
        let items: Vec<String> = sizes.iter().map(|size| json_item(*size)).collect();
        let told = |item: &String| match item.len() {
            0..=LIMIT => Told::Item(item.clone().into_bytes()),
            _ => Told::TooLarge,
        };
        let mut expected: Vec<Told> = items.iter().map(told).collect();
        let lines = items.join("\n");
        let body = Body::watch(Format::Json, LIMIT);
        let (parts, end) = read(body, &split(lines.as_bytes(), &lengths));
        prop_assert_eq!(&parts, &expected);
        prop_assert_eq!(end, Ok(true));

        let text = json_list(&items);
        let (parts, end) = read(Body::list(Format::Json, LIMIT), &split(text.as_bytes(), &lengths));
        let mut around = json_list(&[]);
        // Space between items is kept around them.
        if items.len() > 1 {
            around = around.replace("[]}", &format!("[{}]}}", "\n".repeat(items.len() - 1)));
        }
        expected.push(Told::Metadata(around.into_bytes()));
        prop_assert_eq!(parts, expected);
        prop_assert_eq!(end, Ok(true));
        let (_, end) = read(Body::list(Format::Json, LIMIT), &[&text.as_bytes()[..text.len() - 1]]);
        prop_assert_eq!(end, Ok(false));
    }

    #[test]
    fn garbage_in_any_chunks_is_the_same(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        magic in any::<bool>(),
        lengths in proptest::collection::vec(1..50usize, 1..20),
    ) {
        let bytes = if magic { [b"k8s\0\x12\xff\x04", &bytes[..]].concat() } else { bytes };
        for format in [Format::Protobuf, Format::Json] {
            for make in [Body::list, Body::watch] {
                let whole = read(make(format, LIMIT), &[&bytes]);
                prop_assert_eq!(&whole, &read(make(format, LIMIT), &split(&bytes, &lengths)));
            }
        }
    }
}
