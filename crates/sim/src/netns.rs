//! Named network namespaces, as `ip netns` keeps them: a mount on a file in `/run/netns`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{Error, ip};

/// Where `ip netns` keeps its names.
pub const NETNS_DIR: &str = "/run/netns";

/// A network namespace. Dropping it removes the name, and with the last process in it the namespace.
#[derive(Debug)]
pub struct Netns {
    name: String,
    file: File,
}

impl Netns {
    /// Makes a namespace with its loopback up.
    pub fn create(name: &str) -> Result<Self, Error> {
        let mut made = Self::create_many(vec![name.to_owned()])?;
        ip::batch(Some(name), &["link set lo up".to_owned()])?;
        made.pop().ok_or_else(|| Error::NoNetns(name.to_owned()))
    }

    /// Makes several at once, with their loopbacks down. All or none.
    pub fn create_many(names: Vec<String>) -> Result<Vec<Self>, Error> {
        let lines: Vec<String> = names.iter().map(|name| format!("netns add {name}")).collect();
        let made = ip::batch(None, &lines)
            .and_then(|()| names.iter().map(|name| Self::open(name)).collect());
        if made.is_err() {
            remove(&names);
        }
        made
    }

    fn open(name: &str) -> Result<Self, Error> {
        let path = Path::new(NETNS_DIR).join(name);
        let file = File::open(&path).map_err(Error::file("open", path))?;
        Ok(Self { name: name.to_owned(), file })
    }

    /// Its name, as `ip netns exec` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn path(&self) -> PathBuf {
        Path::new(NETNS_DIR).join(&self.name)
    }

    /// The kernel's number for it: what `/proc/PID/ns/net` shows.
    pub fn inode(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(Error::file("stat", self.path()))?.ino())
    }

    /// Runs `work` on a thread of its own inside the namespace. Sockets stay in the namespace they were made in.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let entered = thread::scope(|scope| {
            scope
                .spawn(|| -> io::Result<T> {
                    enter(&self.file)?;
                    Ok(work())
                })
                .join()
        });
        match entered {
            Ok(result) => result.map_err(|e| self.error(e)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Starts `command` inside the namespace. The caller's thread becomes its parent, which matters to whoever
    /// asks for a signal at the parent's death.
    pub fn spawn(&self, command: &mut Command) -> Result<Child, Error> {
        let home = Path::new("/proc/thread-self/ns/net");
        let home = File::open(home).map_err(Error::file("open", home))?;
        enter(&self.file).map_err(|e| self.error(e))?;
        let child = command.spawn();
        // Left in a foreign namespace, this thread would make its next sockets there.
        let returned = enter(&home);
        let mut child = child.map_err(|e| self.error(e))?;
        if let Err(e) = returned {
            let _ = child.kill();
            let _ = child.wait();
            return Err(self.error(e));
        }
        Ok(child)
    }

    /// Applies `lines` of `ip -batch` inside the namespace.
    pub fn ip(&self, lines: &[String]) -> Result<(), Error> {
        ip::batch(Some(&self.name), lines)
    }

    /// Sets a `net.*` sysctl of this namespace; `key` with slashes.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), Error> {
        let path = Path::new("/proc/sys/net").join(key);
        self.run(|| std::fs::write(&path, value))?.map_err(Error::file("write", path))
    }

    fn error(&self, source: io::Error) -> Error {
        Error::Netns { name: self.name.clone(), source }
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if self.path().exists() {
            remove(std::slice::from_ref(&self.name));
        }
    }
}

/// Removes the names that exist; the kernel removes a namespace, and the links in it, with its last user.
pub(crate) fn remove(names: &[String]) {
    let lines: Vec<String> = names
        .iter()
        .filter(|name| Path::new(NETNS_DIR).join(name).exists())
        .map(|name| format!("netns del {name}"))
        .collect();
    if let Err(error) = ip::batch_lenient(None, &lines) {
        tracing::warn!(%error, "network namespaces are left over; the next start removes them");
    }
}

fn enter(namespace: impl AsFd) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}
