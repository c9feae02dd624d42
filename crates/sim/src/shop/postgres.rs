//! A database that speaks the simple query part of PostgreSQL's protocol, version 3.0
//! (<https://www.postgresql.org/docs/current/protocol-flow.html>). It answers every query with one row.

use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::http;
use super::lookup::{Family, Resolver};
use super::settings::Settings;

pub const PORT: u16 = 5432;
const PROTOCOL: u32 = 0x0003_0000;
const MAX_MESSAGE_BYTES: usize = 64 << 10;
const TYPE_OID_TEXT: u32 = 25;
/// The row: as large as a page of products.
const ROW_BYTES: usize = 600;

pub fn run(_: &Settings) -> io::Result<()> {
    let listener: TcpListener = http::listen(PORT)?;
    loop {
        let (stream, _) = listener.accept()?;
        thread::Builder::new().stack_size(256 << 10).spawn(move || serve(stream))?;
    }
}

fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    read_body(&mut reader)?;
    let mut greeting = message(b'R', &0u32.to_be_bytes());
    greeting.extend(ready());
    reader.get_mut().write_all(&greeting)?;
    loop {
        let (kind, _) = read_message(&mut reader)?;
        match kind {
            b'Q' => reader.get_mut().write_all(&row())?,
            b'X' => return Ok(()),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn row() -> Vec<u8> {
    let mut description = 1u16.to_be_bytes().to_vec();
    description.extend_from_slice(b"document\0");
    description.extend_from_slice(&0u32.to_be_bytes());
    description.extend_from_slice(&0u16.to_be_bytes());
    description.extend_from_slice(&TYPE_OID_TEXT.to_be_bytes());
    description.extend_from_slice(&(-1i16).to_be_bytes());
    description.extend_from_slice(&(-1i32).to_be_bytes());
    description.extend_from_slice(&0u16.to_be_bytes());
    let mut values = 1u16.to_be_bytes().to_vec();
    values.extend_from_slice(&(ROW_BYTES as u32).to_be_bytes());
    values.resize(values.len() + ROW_BYTES, b'x');
    let mut answer = message(b'T', &description);
    answer.extend(message(b'D', &values));
    answer.extend(message(b'C', b"SELECT 1\0"));
    answer.extend(ready());
    answer
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// One connection to the database, made anew after a failure.
#[derive(Debug)]
pub struct Database {
    resolver: Resolver,
    host: String,
    connection: Mutex<Option<BufReader<TcpStream>>>,
}

impl Database {
    pub fn new(resolver: Resolver, host: &str) -> Self {
        Self { resolver, host: host.to_owned(), connection: Mutex::new(None) }
    }

    /// Runs one statement; the number of bytes that came back in rows.
    pub fn query(&self, sql: &str) -> io::Result<usize> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = match connection.take() {
            Some(reader) => reader,
            None => self.connect()?,
        };
        let bytes = query(&mut reader, sql)?;
        *connection = Some(reader);
        Ok(bytes)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let mut reader = BufReader::new(self.resolver.connect(&self.host, PORT, Family::V4)?);
        let parameters = b"user\0shop\0database\0shop\0\0";
        let mut startup = ((parameters.len() + 8) as u32).to_be_bytes().to_vec();
        startup.extend_from_slice(&PROTOCOL.to_be_bytes());
        startup.extend_from_slice(parameters);
        reader.get_mut().write_all(&startup)?;
        while read_message(&mut reader)?.0 != b'Z' {}
        Ok(reader)
    }
}

fn query(reader: &mut BufReader<TcpStream>, sql: &str) -> io::Result<usize> {
    let mut text = sql.as_bytes().to_vec();
    text.push(0);
    reader.get_mut().write_all(&message(b'Q', &text))?;
    let mut bytes = 0;
    loop {
        match read_message(reader)? {
            (b'D', row) => bytes += row.len(),
            (b'Z', _) => return Ok(bytes),
            _ => {}
        }
    }
}

/// A type, the length with itself, the body.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&((body.len() + 4) as u32).to_be_bytes());
    message.extend_from_slice(body);
    message
}

fn read_message(reader: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut kind = [0];
    reader.read_exact(&mut kind)?;
    Ok((kind[0], read_body(reader)?))
}

fn read_body(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = (u32::from_be_bytes(length) as usize)
        .checked_sub(4)
        .filter(|length| *length <= MAX_MESSAGE_BYTES);
    let mut body = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    reader.read_exact(&mut body)?;
    Ok(body)
}
