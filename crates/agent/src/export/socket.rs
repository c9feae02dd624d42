//! The socket of the local command line, and the lock that makes its agent the only one.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::Error;

/// Holds the lock beside the socket. Dropping it removes both.
pub struct LocalSocket {
    path: PathBuf,
    lock_path: PathBuf,
    /// The kernel frees it when the process ends, however that happens.
    _lock: File,
    bound: bool,
}

impl LocalSocket {
    /// Takes the lock; fails if a living agent has it. Makes the directory (0750) if it is not there.
    pub fn lock(path: &Path) -> Result<Self, Error> {
        let fail = |source| Error::Socket { path: path.into(), source };
        let directory = path.parent().ok_or_else(|| fail(ErrorKind::InvalidInput.into()))?;
        DirBuilder::new().recursive(true).mode(0o750).create(directory).map_err(fail)?;
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o640)
                .open(&lock_path)
                .map_err(fail)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let mut pid = String::new();
                    let _ = Read::by_ref(&mut file).take(16).read_to_string(&mut pid);
                    let pid = if pid.trim().is_empty() {
                        "unknown".into()
                    } else {
                        pid.trim().to_owned()
                    };
                    return Err(Error::Running { pid, path: path.into() });
                }
                Err(errno) => return Err(fail(errno.into())),
            }
            // The agent that held it may have removed the file between `open` and `flock`.
            let same = std::fs::metadata(&lock_path).is_ok_and(|there| {
                file.metadata()
                    .is_ok_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino()))
            });
            if same {
                file.set_len(0)
                    .and_then(|()| writeln!(file, "{}", std::process::id()))
                    .map_err(fail)?;
                return Ok(Self { path: path.into(), lock_path, _lock: file, bound: false });
            }
        }
    }

    /// Listens, in the place of a socket that a killed agent left. Anything else at the path is left alone.
    pub fn listen(&mut self) -> Result<UnixListener, Error> {
        let path = self.path.clone();
        let fail = |source| Error::Socket { path: path.clone(), source };
        match std::fs::symlink_metadata(&self.path) {
            Ok(metadata) if metadata.file_type().is_socket() => {
                std::fs::remove_file(&self.path).map_err(fail)?
            }
            Ok(_) => {
                return Err(fail(io::Error::new(
                    ErrorKind::AlreadyExists,
                    "exists and is not a socket",
                )));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        let listener = UnixListener::bind(&self.path).map_err(fail)?;
        self.bound = true;
        std::fs::set_permissions(&self.path, Permissions::from_mode(0o660)).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        Ok(listener)
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // The lock last: whoever takes it next must find the path free.
        if self.bound {
            let _ = std::fs::remove_file(&self.path);
        }
        let _ = std::fs::remove_file(&self.lock_path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_agent_at_a_time_and_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/agent.sock");
        let mut first = LocalSocket::lock(&path).unwrap();
        let _listener = first.listen().unwrap();
        let error = LocalSocket::lock(&path).err().unwrap().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        assert!(error.contains("run/agent.sock"), "{error}");
        drop(first);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
        LocalSocket::lock(&path).unwrap();
    }

    #[test]
    fn of_many_that_come_and_go_one_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        let (holders, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while taken.load(Ordering::Relaxed) < 2000 {
                        let Ok(lock) = LocalSocket::lock(&path) else { continue };
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        taken.fetch_add(1, Ordering::Relaxed);
                        holders.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }

    #[test]
    fn access_is_by_owner_and_group() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/agent.sock");
        let mut socket = LocalSocket::lock(&path).unwrap();
        let _listener = socket.listen().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o750, 0o660));
    }

    #[test]
    fn the_socket_of_a_killed_agent_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        drop(UnixListener::bind(&path).unwrap());
        std::fs::write(directory.path().join("agent.sock.lock"), "4194305\n").unwrap();
        assert!(UnixStream::connect(&path).is_err());
        let mut socket = LocalSocket::lock(&path).unwrap();
        let _listener = socket.listen().unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.sock");
        std::fs::write(&path, "precious").unwrap();
        let mut socket = LocalSocket::lock(&path).unwrap();
        let error = socket.listen().unwrap_err().to_string();
        assert!(error.contains("not a socket"), "{error}");
        drop(socket);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
