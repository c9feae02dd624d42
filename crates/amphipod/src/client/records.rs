//! Records as they come: lines of JSON.

use anyhow::{Context, bail};
use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use model::line::Line;
use model::status::Lost;

/// Of one record; real ones have less than 4 KiB.
const MAX_LINE: usize = 1 << 20;

/// What comes on a stream of records.
#[derive(Debug, PartialEq)]
pub enum Item {
    Record(Box<Line>),
    /// Some are missing here.
    Lost(Lost),
}

impl Item {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let cannot = || {
            format!("record {text:.80}: cannot be read; use an amphipod of the version that runs")
        };
        // No record begins so.
        if text.starts_with("{\"lost\":") {
            return Ok(Self::Lost(serde_json::from_str(text).with_context(cannot)?));
        }
        Ok(Self::Record(Box::new(serde_json::from_str(text).with_context(cannot)?)))
    }
}

/// A stream of records, as lines of JSON.
pub struct Records {
    /// Whose.
    peer: String,
    body: Incoming,
    buffer: BytesMut,
    /// So much of the buffer has no line feed.
    searched: usize,
}

impl Records {
    pub(super) fn new(peer: String, body: Incoming) -> Self {
        Self { peer, body, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line without its line feed; `None` when the stream is ended from there. Safe to cancel.
    pub async fn next(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some(line) = self.buffered() {
                return Ok(Some(line));
            }
            if self.buffer.len() > MAX_LINE {
                bail!("{}: a record of more than {MAX_LINE} bytes; is this amphipod's?", self.peer);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => bail!(
                    "{}: gone in the middle of the stream ({error}); it was stopped, killed or cut off: see its log",
                    self.peer
                ),
                None => return Ok(None),
            }
        }
    }

    /// Why a stream that was to go on has ended.
    pub fn ended(&self) -> anyhow::Error {
        anyhow::anyhow!("{}: ended the stream: it is stopping; start again when it runs", self.peer)
    }

    /// The next line, if it has already arrived.
    pub fn buffered(&mut self) -> Option<String> {
        match self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
            Some(offset) => {
                let line = self.buffer.split_to(self.searched + offset);
                self.buffer.advance(1);
                self.searched = 0;
                Some(String::from_utf8_lossy(&line).into_owned())
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }
}

/// `?key=value&...`, percent-encoded; empty for no pairs.
pub(super) fn encode<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    use std::fmt::Write;
    let mut query = String::new();
    for (key, value) in pairs {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(key);
        query.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/:,".contains(&byte) {
                query.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(query, "%{byte:02X}");
            }
        }
    }
    query
}
