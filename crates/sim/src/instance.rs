//! A place on this host for one simulated node: a number, and with it names and addresses that no other
//! instance uses. What an instance makes can be told by its number alone, so that the next start can remove
//! what a killed one left.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use crate::address::{Plan, routes};
use crate::{Error, cgroup, ip, netns};

/// One directory per instance.
const STATE_DIR: &str = "/run/amphipod/demo";
const PLACES: u16 = 64;

/// Dropping it removes everything that carries its number: processes, cgroups, namespaces, links, files.
#[derive(Debug)]
pub struct Instance {
    place: u16,
    plan: Plan,
    cgroup: PathBuf,
    /// Locked as long as the instance lives; the kernel lets go when the process dies, however it dies.
    _alive: File,
}

/// For people who look into the directory; the lock is what counts.
#[derive(Serialize)]
struct Owner {
    pid: u32,
    /// Clock ticks from boot: field 22 of `/proc/PID/stat`.
    start_ticks: Option<u64>,
}

impl Instance {
    /// Removes what dead instances left, then takes a free place.
    pub fn claim() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        let mount = cgroup::mount()?;
        let state = Path::new(STATE_DIR);
        fs::create_dir_all(state).map_err(Error::file("create", state))?;
        let _turn = lock(&state.join("lock"))?;
        sweep(&mount)?;
        let routes = routes();
        for place in 0..PLACES {
            let directory = state.join(place.to_string());
            if directory.exists() {
                continue;
            }
            let Some(plan) = Plan::choose(place, &routes) else { continue };
            fs::create_dir(&directory).map_err(Error::file("create", &directory))?;
            let alive = lock(&directory.join("owner"))?;
            describe_owner(&alive).map_err(Error::file("write", directory.join("owner")))?;
            return Ok(Self { place, plan, cgroup: cgroup_path(&mount, place), _alive: alive });
        }
        Err(Error::NoPlace(PLACES, state.to_owned()))
    }

    pub fn place(&self) -> u16 {
        self.place
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The cgroup above all of this instance's. Absolute.
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// For its files.
    pub fn directory(&self) -> PathBuf {
        Path::new(STATE_DIR).join(self.place.to_string())
    }

    /// Name of a network namespace of this instance.
    pub fn netns_name(&self, what: &str) -> String {
        format!("{}{what}", netns_prefix(self.place))
    }

    /// Removes everything that carries its number, but keeps the number.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        clear(self.place, &self.cgroup)
    }

    fn give_up(&self) -> Result<(), Error> {
        self.clear()?;
        // Nobody may take the place while its directory is half gone.
        let _turn = lock(&Path::new(STATE_DIR).join("lock"))?;
        remove_directory(self.place)
    }

    /// Name of its link in the host's own namespace.
    pub fn host_link(&self) -> String {
        host_link(self.place)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Err(error) = self.give_up() {
            tracing::warn!(%error, "the simulated cluster left something; the next start removes it");
        }
    }
}

fn netns_prefix(place: u16) -> String {
    format!("amph-{place}-")
}

fn host_link(place: u16) -> String {
    format!("amph{place}")
}

fn cgroup_path(mount: &Path, place: u16) -> PathBuf {
    mount.join(format!("amphipod-{place}"))
}

/// Opens `path`, making it if need be, and waits until it is ours alone.
fn lock(path: &Path) -> Result<File, Error> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(Error::file("open", path))?;
    flock(&file, FlockOperation::LockExclusive).map_err(|e| Error::file("lock", path)(e.into()))?;
    Ok(file)
}

fn describe_owner(mut file: &File) -> io::Result<()> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let start_ticks =
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(19)?.parse().ok());
    file.set_len(0)?;
    serde_json::to_writer(file, &Owner { pid: std::process::id(), start_ticks })?;
    file.write_all(b"\n")
}

/// Removes the instances whose process is gone. Only with the turn taken.
fn sweep(mount: &Path) -> Result<(), Error> {
    for place in 0..PLACES {
        let directory = Path::new(STATE_DIR).join(place.to_string());
        if directory.exists() && is_dead(&directory) {
            tracing::info!(place, "removing what a killed simulated cluster left");
            clear(place, &cgroup_path(mount, place))?;
            remove_directory(place)?;
        }
    }
    Ok(())
}

fn is_dead(directory: &Path) -> bool {
    match File::open(directory.join("owner")) {
        Ok(owner) => flock(&owner, FlockOperation::NonBlockingLockExclusive).is_ok(),
        // Killed between making the directory and locking the file.
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    }
}

fn clear(place: u16, cgroup: &Path) -> Result<(), Error> {
    let killed = cgroup::remove_tree(cgroup);
    let prefix = netns_prefix(place);
    let names: Vec<String> = match fs::read_dir(netns::NETNS_DIR) {
        Ok(entries) => entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(&prefix))
            .collect(),
        Err(_) => Vec::new(),
    };
    let link = host_link(place);
    // Goes with its peer's namespace, but not at once.
    if Path::new("/sys/class/net").join(&link).exists() {
        ip::batch_lenient(None, &[format!("link del dev {link}")])?;
    }
    netns::remove(&names);
    killed
}

fn remove_directory(place: u16) -> Result<(), Error> {
    let directory = Path::new(STATE_DIR).join(place.to_string());
    match fs::remove_dir_all(&directory) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", directory)(e)),
        _ => Ok(()),
    }
}
