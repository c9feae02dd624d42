//! Values as people write them, checked: each error names the key, the value and what is allowed.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::Error;
use super::value::{duration, show};

pub fn wrong(key: &str, value: impl ToString, expected: impl Into<String>) -> Error {
    Error::Value { key: key.into(), value: value.to_string(), expected: expected.into() }
}

pub fn quoted(value: &str) -> String {
    format!("{value:?}")
}

/// `off` for nowhere.
pub fn listen(key: &str, text: &str) -> Result<Option<SocketAddr>, Error> {
    match text {
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            wrong(
                key,
                quoted(text),
                "an IP address and port, such as \"127.0.0.1:7172\", or \"off\"",
            )
        }),
    }
}

pub fn count(key: &str, value: u64, range: RangeInclusive<u64>) -> Result<u64, Error> {
    match range.contains(&value) {
        true => Ok(value),
        false => Err(wrong(
            key,
            value,
            format!("a whole number from {} to {}", range.start(), range.end()),
        )),
    }
}

pub fn span(key: &str, text: &str, range: RangeInclusive<Duration>) -> Result<Duration, Error> {
    duration(text).filter(|span| range.contains(span)).ok_or_else(|| {
        let expected = format!(
            "a duration from {} to {}, such as \"5s\" or \"250ms\"",
            show(*range.start()),
            show(*range.end())
        );
        wrong(key, quoted(text), expected)
    })
}

/// The path of a file, or `None` where nothing is given.
pub fn file(key: &str, text: &str) -> Result<Option<PathBuf>, Error> {
    match text {
        "" => Ok(None),
        text if text.starts_with('/') && !text.contains('\0') => Ok(Some(text.into())),
        text => Err(wrong(key, quoted(text), "an absolute path, or nothing")),
    }
}
