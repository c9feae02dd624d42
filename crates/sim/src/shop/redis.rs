//! A cache that speaks RESP2 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>): GET, SET and PING.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::http;
use super::lookup::{Family, Resolver};
use super::settings::Settings;

pub const PORT: u16 = 6379;
const MAX_WORDS: usize = 8;
const MAX_WORD_BYTES: usize = 64 << 10;
const MAX_KEYS: usize = 10_000;

type Store = Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>;

pub fn run(_: &Settings) -> io::Result<()> {
    let listener = http::listen(PORT)?;
    let store = Store::default();
    loop {
        let (stream, _) = listener.accept()?;
        let store = Arc::clone(&store);
        thread::Builder::new().stack_size(256 << 10).spawn(move || serve(stream, &store))?;
    }
}

fn serve(stream: TcpStream, store: &Store) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let count = number(&mut reader, b'*')?
            .filter(|count| *count <= MAX_WORDS)
            .ok_or(io::ErrorKind::InvalidData)?;
        let mut words = Vec::with_capacity(count);
        for _ in 0..count {
            words.push(bulk(&mut reader)?.ok_or(io::ErrorKind::InvalidData)?);
        }
        let answer = answer(&words, &mut store.lock().unwrap_or_else(PoisonError::into_inner));
        reader.get_mut().write_all(&answer)?;
    }
}

fn answer(words: &[Vec<u8>], store: &mut HashMap<Vec<u8>, Vec<u8>>) -> Vec<u8> {
    match words {
        [command] if command == b"PING" => b"+PONG\r\n".to_vec(),
        [command, key] if command == b"GET" => match store.get(key) {
            Some(value) => encode_bulk(value),
            None => b"$-1\r\n".to_vec(),
        },
        [command, key, value] if command == b"SET" => {
            if store.len() >= MAX_KEYS && !store.contains_key(key) {
                return b"-OOM too many keys\r\n".to_vec();
            }
            store.insert(key.clone(), value.clone());
            b"+OK\r\n".to_vec()
        }
        _ => b"-ERR unknown command\r\n".to_vec(),
    }
}

/// One connection to the cache, kept as long as it works.
#[derive(Debug)]
pub struct Cache {
    resolver: Resolver,
    host: String,
    connection: Mutex<Option<BufReader<TcpStream>>>,
}

impl Cache {
    pub fn new(resolver: Resolver, host: &str) -> Self {
        Self { resolver, host: host.to_owned(), connection: Mutex::new(None) }
    }

    pub fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        self.with(|reader| {
            command(reader, &[b"GET", key.as_bytes()])?;
            bulk(reader)
        })
    }

    pub fn set(&self, key: &str, value: &[u8]) -> io::Result<()> {
        self.with(|reader| {
            command(reader, &[b"SET", key.as_bytes(), value])?;
            read_line(reader).map(drop)
        })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut BufReader<TcpStream>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = match connection.take() {
            Some(reader) => reader,
            None => BufReader::new(self.resolver.connect(&self.host, PORT, Family::V4)?),
        };
        let result = work(&mut reader)?;
        *connection = Some(reader);
        Ok(result)
    }
}

fn command(reader: &mut BufReader<TcpStream>, words: &[&[u8]]) -> io::Result<()> {
    let mut message = format!("*{}\r\n", words.len()).into_bytes();
    message.extend(words.iter().flat_map(|word| encode_bulk(word)));
    reader.get_mut().write_all(&message)
}

fn encode_bulk(word: &[u8]) -> Vec<u8> {
    let mut message = format!("${}\r\n", word.len()).into_bytes();
    message.extend_from_slice(word);
    message.extend_from_slice(b"\r\n");
    message
}

fn bulk(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let Some(length) = number(reader, b'$')? else { return Ok(None) };
    if length > MAX_WORD_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut word = vec![0; length + 2];
    reader.read_exact(&mut word)?;
    word.truncate(length);
    Ok(Some(word))
}

/// A line of `mark` and a number; None for -1.
fn number(reader: &mut impl BufRead, mark: u8) -> io::Result<Option<usize>> {
    let line = read_line(reader)?;
    let text = line.strip_prefix(char::from(mark)).ok_or(io::ErrorKind::InvalidData)?;
    if text == "-1" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.take(256).read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}
