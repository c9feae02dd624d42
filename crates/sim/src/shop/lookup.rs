//! Finding a service by its name, over UDP, as a pod does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::dns::{MAX_BYTES, Question, TYPE_A, TYPE_AAAA, decode_answer};
use crate::random;

const TRIES: usize = 3;
const TRY_TIMEOUT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that says nothing for so long has gone.
const IO_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

#[derive(Clone, Debug)]
pub struct Resolver {
    server: SocketAddr,
}

impl Resolver {
    pub fn new(server: SocketAddr) -> Self {
        Self { server }
    }

    /// All addresses of `name` in one family; at least one.
    pub fn lookup(&self, name: &str, family: Family) -> io::Result<Vec<IpAddr>> {
        let kind = if family == Family::V4 { TYPE_A } else { TYPE_AAAA };
        let [low, high, ..] = random::number().to_le_bytes();
        let question =
            Question { id: u16::from_le_bytes([low, high]), name: name.to_owned(), kind };
        let query = question.encode().ok_or(io::ErrorKind::InvalidInput)?;
        let local: IpAddr = if self.server.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((local, 0))?;
        socket.connect(self.server)?;
        socket.set_read_timeout(Some(TRY_TIMEOUT))?;
        let mut failure = io::Error::from(io::ErrorKind::TimedOut);
        for _ in 0..TRIES {
            match ask(&socket, &query, question.id) {
                Ok(addresses) if addresses.is_empty() => {
                    return Err(io::Error::new(
                        io::ErrorKind::NotFound,
                        format!("{name}: no address"),
                    ));
                }
                Ok(addresses) => return Ok(addresses),
                Err(e) => failure = e,
            }
        }
        Err(failure)
    }

    /// A connection to the first address of `name` that accepts one.
    pub fn connect(&self, name: &str, port: u16, family: Family) -> io::Result<TcpStream> {
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for ip in self.lookup(name, family)? {
            match TcpStream::connect_timeout(&SocketAddr::new(ip, port), CONNECT_TIMEOUT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(IO_TIMEOUT))?;
                    stream.set_write_timeout(Some(IO_TIMEOUT))?;
                    return Ok(stream);
                }
                Err(e) => failure = e,
            }
        }
        Err(failure)
    }
}

fn ask(socket: &UdpSocket, query: &[u8], id: u16) -> io::Result<Vec<IpAddr>> {
    socket.send(query)?;
    let mut message = [0; MAX_BYTES];
    loop {
        let length = socket.recv(&mut message)?;
        if let Some(addresses) =
            message.get(..length).and_then(|message| decode_answer(message, id))
        {
            return Ok(addresses);
        }
    }
}
