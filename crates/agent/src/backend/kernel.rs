//! The kernel's connection tracking, asked over netlink.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recvfrom, sendto, socket_with,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::message::{self, Ends, Reply, Said};
use super::{Choice, Conntrack, Dial, Unavailable};
use crate::identity::INITIAL_NET_NAMESPACE;

/// More than one entry takes: some hundred bytes.
const DATAGRAM: usize = 8192;

/// Connection tracking of one network namespace. Its socket is opened when it is first needed, and again after an error.
#[derive(Debug)]
pub struct Kernel {
    place: Place,
    socket: Option<OwnedFd>,
    sequence: u32,
    request: Vec<u8>,
    datagram: Vec<u8>,
}

#[derive(Debug)]
enum Place {
    /// Where pid 1 of this procfs lives.
    Host {
        proc_root: PathBuf,
    },
    Namespace(PathBuf),
}

impl Kernel {
    /// Of the host's network: the one in which services' addresses are translated. `proc_root`: a procfs in which pid 1
    /// lives there.
    pub fn of_host(proc_root: PathBuf) -> Self {
        Self::new(Place::Host { proc_root })
    }

    /// Of the network namespace at `path`.
    pub fn of_namespace(path: impl Into<PathBuf>) -> Self {
        Self::new(Place::Namespace(path.into()))
    }

    fn new(place: Place) -> Self {
        Self { place, socket: None, sequence: 0, request: Vec::new(), datagram: Vec::new() }
    }

    /// Asks for all and takes the answers, which are there when the question has been sent: the kernel works in the
    /// caller's context.
    fn exchange(
        &mut self,
        socket: &OwnedFd,
        dials: &[Dial],
        found: &mut Vec<Option<Choice>>,
    ) -> Result<(), Unavailable> {
        let first = self.sequence;
        self.sequence = first.wrapping_add(dials.len() as u32);
        self.request.clear();
        for (dial, sequence) in dials.iter().zip(0..) {
            message::ask(&mut self.request, first.wrapping_add(sequence), dial);
        }
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(socket, &self.request, SendFlags::empty(), &kernel)
            .map_err(|errno| Unavailable::Failed(errno.into()))?;

        let begin = found.len();
        found.resize(begin + dials.len(), None);
        let mut answers = 0;
        self.datagram.resize(DATAGRAM, 0);
        while answers < dials.len() {
            let flags = RecvFlags::DONTWAIT;
            let length = match recvfrom(socket, self.datagram.as_mut_slice(), flags) {
                Ok((length, _, Some(from)))
                    if SocketAddrNetlink::try_from(from.clone()) == Ok(kernel) =>
                {
                    length
                }
                Ok(_) | Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    return Err(Unavailable::Silent { answers, questions: dials.len() });
                }
                Err(errno) => return Err(Unavailable::Failed(errno.into())),
            };
            for Reply { sequence, said } in message::replies(&self.datagram[..length]) {
                let index = sequence.wrapping_sub(first) as usize;
                let Some(dial) = dials.get(index) else { continue };
                answers += 1;
                found[begin + index] = choice(dial, said)?;
            }
        }
        Ok(())
    }
}

impl Conntrack for Kernel {
    fn look_up(
        &mut self,
        dials: &[Dial],
        found: &mut Vec<Option<Choice>>,
    ) -> Result<(), Unavailable> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => open(&self.place)?,
        };
        // After an error, answers that nobody waits for may be left in it.
        self.exchange(&socket, dials, found)?;
        self.socket = Some(socket);
        Ok(())
    }
}

fn choice(dial: &Dial, said: Said) -> Result<Option<Choice>, Unavailable> {
    match said {
        Said::Entry { original, reply } => Ok(translated(dial, &original, &reply)),
        Said::Error(errno) => match Errno::from_raw_os_error(errno) {
            Errno::NOENT => Ok(None),
            Errno::PERM => Err(Unavailable::Denied),
            Errno::INVAL | Errno::OPNOTSUPP => Err(Unavailable::Unsupported),
            errno => Err(Unavailable::Failed(errno.into())),
        },
        Said::Other => Ok(None),
    }
}

/// An entry is found by either of its directions: only one that set out as `dial` tells of it.
fn translated(dial: &Dial, original: &Ends, reply: &Ends) -> Option<Choice> {
    let Dial { client, service, protocol } = *dial;
    let asked = Ends { source: client, destination: service, protocol };
    let backend: SocketAddr = reply.source;
    (*original == asked && backend != service)
        .then_some(Choice { backend, client: reply.destination })
}

fn open(place: &Place) -> Result<OwnedFd, Unavailable> {
    let path = match place {
        Place::Namespace(path) => path.clone(),
        Place::Host { proc_root } => {
            // Asking would load the module.
            if !proc_root.join("sys/net/netfilter/nf_conntrack_count").exists() {
                return Err(Unavailable::Untracked);
            }
            proc_root.join("1/ns/net")
        }
    };
    let hidden = |source| Unavailable::Hidden { path: path.clone(), source };
    let own = fs::metadata("/proc/thread-self/ns/net").map(|own| own.ino()).ok();
    let host = matches!(place, Place::Host { .. });
    let namespace = match File::open(&path) {
        // The links of pid 1 may be hidden from a process with fewer capabilities than it has.
        Err(_) if host && own == Some(INITIAL_NET_NAMESPACE.into()) => return socket(),
        opened => opened.map_err(hidden)?,
    };
    if own == Some(namespace.metadata().map_err(hidden)?.ino()) {
        return socket();
    }
    // A socket stays in the namespace where it was made, and so would the thread that entered it.
    let entered = thread::Builder::new().name("netns".into()).spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|errno| Unavailable::Locked(errno.into()))?;
        socket()
    });
    let made = entered.map_err(Unavailable::Failed)?.join();
    made.unwrap_or_else(|_| Err(Unavailable::Failed(io::Error::other("the thread ended early"))))
}

fn socket() -> Result<OwnedFd, Unavailable> {
    let kind = (AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC);
    socket_with(kind.0, kind.1, kind.2, Some(netlink::NETFILTER)).map_err(|errno| match errno {
        Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => Unavailable::Unsupported,
        errno => Unavailable::Failed(errno.into()),
    })
}
