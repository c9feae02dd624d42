//! HTTP/1.1, as far as a shop needs: keep-alive, bodies of known length.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::lookup::{Family, Resolver};

const MAX_LINE_BYTES: u64 = 8 << 10;
const MAX_HEADERS: usize = 64;
const MAX_BODY_BYTES: usize = 1 << 20;
/// Connections that a client keeps for later.
const MAX_IDLE: usize = 32;
/// How long a server keeps a silent connection.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Response {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into() }
    }

    pub fn error(status: u16, message: &str) -> Self {
        Self { status, body: message.as_bytes().to_vec() }
    }

    /// What a gateway says of those behind it.
    pub fn from_upstream(result: io::Result<Self>) -> Self {
        result.unwrap_or_else(|e| Self::error(502, &e.to_string()))
    }
}

/// Listens on all addresses of both families; only IPv4 where there is no IPv6.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((IpAddr::from(Ipv6Addr::UNSPECIFIED), port))
        .or_else(|_| TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), port)))
}

/// Answers every request on `listener` by `handler`, one thread for each connection.
pub fn serve(
    listener: &TcpListener,
    handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
) -> io::Result<()> {
    let handler = Arc::new(handler);
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // Reset while it waited in the queue.
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(e) => return Err(e),
        };
        let handler = Arc::clone(&handler);
        // A client that stops in the middle loses its connection, nobody else does.
        thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(move || converse(stream, handler.as_ref()))?;
    }
}

fn converse(stream: TcpStream, handler: &dyn Fn(&Request) -> Response) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(KEEP_ALIVE))?;
    let mut reader = BufReader::new(stream);
    while let Some(head) = read_head(&mut reader)? {
        let mut words = head.first.split(' ');
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let request = Request { method: method.to_owned(), path: path.to_owned() };
        read_body(&mut reader, head.length)?;
        let Response { status, body } = handler(&request);
        let connection = if head.close { "close" } else { "keep-alive" };
        let mut message = format!(
            "HTTP/1.1 {status} {}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
            reason(status),
            body.len()
        )
        .into_bytes();
        message.extend_from_slice(&body);
        reader.get_mut().write_all(&message)?;
        if head.close {
            break;
        }
    }
    Ok(())
}

/// Calls one service, keeping connections to it.
#[derive(Debug)]
pub struct Client {
    resolver: Resolver,
    host: String,
    port: u16,
    family: Family,
    keep_alive: bool,
    idle: Mutex<Vec<BufReader<TcpStream>>>,
}

impl Client {
    pub fn new(resolver: Resolver, host: &str, port: u16) -> Self {
        Self {
            resolver,
            host: host.to_owned(),
            port,
            family: Family::V4,
            keep_alive: true,
            idle: Mutex::default(),
        }
    }

    pub fn family(self, family: Family) -> Self {
        Self { family, ..self }
    }

    /// A new connection for every request.
    pub fn without_keep_alive(self) -> Self {
        Self { keep_alive: false, ..self }
    }

    pub fn get(&self, path: &str) -> io::Result<Response> {
        self.call("GET", path, b"")
    }

    pub fn post(&self, path: &str, body: &[u8]) -> io::Result<Response> {
        self.call("POST", path, body)
    }

    fn call(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Response> {
        let connection = if self.keep_alive { "keep-alive" } else { "close" };
        let mut message = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
            self.host,
            body.len()
        )
        .into_bytes();
        message.extend_from_slice(body);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut connection) = idle {
            // The server may have closed it while it was idle.
            if let Ok(response) = self.exchange(&mut connection, &message) {
                self.keep(connection, &response);
                return Ok(response.0);
            }
        }
        let mut connection =
            BufReader::new(self.resolver.connect(&self.host, self.port, self.family)?);
        let response = self.exchange(&mut connection, &message)?;
        self.keep(connection, &response);
        Ok(response.0)
    }

    /// The response, and whether the server closes.
    fn exchange(
        &self,
        connection: &mut BufReader<TcpStream>,
        message: &[u8],
    ) -> io::Result<(Response, bool)> {
        connection.get_mut().write_all(message)?;
        let head = read_head(connection)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        let body = read_body(connection, head.length)?;
        Ok((Response { status, body }, head.close))
    }

    fn keep(&self, connection: BufReader<TcpStream>, response: &(Response, bool)) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if self.keep_alive && !response.1 && idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }
}

struct Head {
    first: String,
    length: usize,
    close: bool,
}

/// None at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let first = read_line(reader)?;
    if first.is_empty() {
        return Ok(None);
    }
    let mut head = Head { first, length: 0, close: false };
    for _ in 0..MAX_HEADERS {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok(Some(head));
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.length = value.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        } else if name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case("close");
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(MAX_LINE_BYTES).read_line(&mut line)?;
    line.truncate(line.trim_end().len());
    Ok(line)
}

fn read_body(reader: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    if length > MAX_BODY_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        404 => "Not Found",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
