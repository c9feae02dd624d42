//! The cluster's name server. Its names come from a file that the simulated node replaces when pods come and go:
//! a name and an address on each line.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;

use super::dns::{MAX_BYTES, Question};
use super::settings::Settings;

/// Answers on every address that it is told; each has a socket of its own, so that answers come from the address
/// that was asked.
pub fn run(settings: &Settings) -> io::Result<()> {
    let mut listen = settings.listen.clone();
    let last = listen.pop().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    for ip in listen {
        let socket = UdpSocket::bind((ip, settings.port))?;
        let zone = Zone::new(settings.zone.clone());
        thread::Builder::new().spawn(move || serve(&socket, zone))?;
    }
    serve(&UdpSocket::bind((last, settings.port))?, Zone::new(settings.zone.clone()))
}

fn serve(socket: &UdpSocket, mut zone: Zone) -> io::Result<()> {
    let mut message = [0; MAX_BYTES];
    loop {
        let (length, peer) = match socket.recv_from(&mut message) {
            Ok(received) => received,
            // A peer that went away told us so; that is no fault of the socket.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(e) => return Err(e),
        };
        let Some(question) = message.get(..length).and_then(Question::decode) else { continue };
        let Some(answer) = question.answer(zone.find(&question.name)?) else { continue };
        // The client asks again if this is lost.
        let _ = socket.send_to(&answer, peer);
    }
}

struct Zone {
    file: PathBuf,
    /// Inode and time of the file: it is replaced, never changed.
    read: (u64, i64, i64),
    names: HashMap<String, Vec<IpAddr>>,
}

impl Zone {
    fn new(file: PathBuf) -> Self {
        Self { file, read: (0, 0, 0), names: HashMap::new() }
    }

    fn find(&mut self, name: &str) -> io::Result<Option<&[IpAddr]>> {
        let file = fs::metadata(&self.file)?;
        let present = (file.ino(), file.mtime(), file.mtime_nsec());
        if present != self.read {
            self.names = parse(&fs::read_to_string(&self.file)?);
            self.read = present;
        }
        Ok(self.names.get(name).map(Vec::as_slice))
    }
}

fn parse(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for (name, ip) in text.lines().filter_map(|line| line.split_once(' ')) {
        if let Ok(ip) = ip.parse() {
            names.entry(name.to_owned()).or_default().push(ip);
        }
    }
    names
}
