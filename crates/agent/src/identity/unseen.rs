//! Containers of whose pod no socket was seen yet: its network namespace is read from one of its processes, for what
//! happens there without a socket, or with none before the pod is gone.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::clock::Moment;
use super::counters::Table;
use super::host;
use super::netns::Holder;
use hashbrown::HashMap;

/// Between two looks that read something, however many ask.
const PAUSE: Duration = Duration::from_millis(50);
/// Containers read in one look.
const READS: usize = 256;
/// Until a container is read again that had no process, or one still in the host's network: runtimes make the cgroup,
/// start a process, and only then give it its namespace. Doubles each time; after the last it is of the host's network.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Container {
    /// Relative to the hierarchy's root.
    path: Box<str>,
    holder: Holder,
    at: Moment,
    retry: Duration,
}

#[derive(Debug)]
pub struct Unseen {
    /// The hierarchy and the procfs whose ids are the kernel's; `None` where there is no telling.
    roots: Option<(PathBuf, PathBuf)>,
    /// By cgroup id.
    containers: HashMap<u64, Container>,
    /// When the next look is worth it.
    next: Moment,
    limit: usize,
    evicted: u64,
    reads: u64,
}

impl Unseen {
    pub fn new(roots: Option<(PathBuf, PathBuf)>, limit: usize) -> Self {
        Self {
            roots,
            containers: HashMap::new(),
            next: Moment::default(),
            limit,
            evicted: 0,
            reads: 0,
        }
    }

    pub fn insert(&mut self, id: u64, path: &str, holder: Holder, at: Moment) {
        if self.roots.is_none() {
            return;
        }
        if self.containers.len() >= self.limit && !self.containers.contains_key(&id) {
            self.evicted += 1;
            return;
        }
        let container = Container { path: path.into(), holder, at, retry: FIRST_RETRY };
        self.containers.insert(id, container);
        self.next = self.next.min(at);
    }

    pub fn remove(&mut self, id: u64) {
        self.containers.remove(&id);
    }

    /// Its namespace is known.
    pub fn forget(&mut self, key: &str) {
        self.containers.retain(|_, container| container.holder.key() != key);
    }

    /// Reads what is due. Namespaces that are not `host`, and whose they are.
    pub fn look(&mut self, host: u32, at: Moment) -> Vec<(u32, Holder)> {
        let mut found = Vec::new();
        if at < self.next || self.containers.is_empty() {
            return found;
        }
        let Some((hierarchy, proc_root)) = &self.roots else { return found };
        let mut gone = Vec::new();
        let due = self.containers.iter_mut().filter(|(_, container)| container.at <= at);
        for (id, container) in due.take(READS) {
            self.reads += 1;
            match read(hierarchy, proc_root, &container.path) {
                Ok(Some(netns)) if netns != host => {
                    found.push((netns, container.holder.clone()));
                    gone.push(*id);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => gone.push(*id),
                Ok(_) | Err(_) if container.retry > LAST_RETRY => gone.push(*id),
                Ok(_) | Err(_) => {
                    container.at = at.after(container.retry);
                    container.retry *= 2;
                }
            }
        }
        gone.iter().for_each(|id| self.remove(*id));
        let due = self.containers.values().map(|container| container.at).min();
        self.next = due.unwrap_or_default().max(at.after(PAUSE));
        found
    }

    pub fn reads(&self) -> u64 {
        self.reads
    }

    pub fn table(&self) -> Table {
        Table {
            name: "unseen_containers",
            entries: self.containers.len() as u64,
            max_entries: self.limit as u64,
            evicted: self.evicted,
        }
    }
}

/// The network namespace of the first process in the cgroup; `None` without one.
fn read(hierarchy: &Path, proc_root: &Path, path: &str) -> io::Result<Option<u32>> {
    let file = File::open(hierarchy.join(path.trim_start_matches('/')).join("cgroup.procs"))?;
    // One pid is enough: the first, ten digits at most.
    let mut text = String::new();
    file.take(16).read_to_string(&mut text)?;
    let first = text.lines().next().filter(|_| text.contains('\n'));
    // 0: a process of another pid namespace than ours.
    let Some(pid) = first.and_then(|pid| pid.parse::<u32>().ok()).filter(|pid| *pid != 0) else {
        return Ok(None);
    };
    match fs::metadata(proc_root.join(pid.to_string())) {
        Ok(_) => Ok(host::namespace(proc_root, &pid.to_string(), "net")),
        // It ended; the cgroup is still there.
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_first_process_tells_once_it_has_a_namespace() {
        let root = tempfile::tempdir().unwrap();
        let (hierarchy, proc_root) = (root.path().join("cgroup"), root.path().join("proc"));
        let procs = |text: &str| fs::write(hierarchy.join("pod/c/cgroup.procs"), text).unwrap();
        let enter = |pid: u32, netns: u32| {
            let directory = proc_root.join(pid.to_string()).join("ns");
            let _ = fs::remove_dir_all(&directory);
            fs::create_dir_all(&directory).unwrap();
            symlink(format!("net:[{netns}]"), directory.join("net")).unwrap();
        };
        fs::create_dir_all(hierarchy.join("pod/c")).unwrap();
        let mut unseen = Unseen::new(Some((hierarchy.clone(), proc_root.clone())), 2);
        let start = Moment::default();
        let after = |milliseconds| start.after(Duration::from_millis(milliseconds));
        unseen.insert(1, "/pod/c", Holder::Pod("one".into()), start);
        unseen.insert(2, "/pod/gone", Holder::Pod("two".into()), start);
        unseen.insert(3, "/pod/many", Holder::Pod("three".into()), start);
        assert_eq!((unseen.table().entries, unseen.table().evicted), (2, 1));
        let mut look = |at| (unseen.look(7, at), unseen.reads(), unseen.table().entries);
        procs("");
        assert_eq!(look(start), (vec![], 2, 1));
        // No process yet: not at once again.
        assert_eq!(look(after(1)), (vec![], 2, 1));
        procs("41\n42\n");
        assert_eq!(look(after(100)), (vec![], 3, 1));
        enter(41, 7);
        assert_eq!(look(after(300)), (vec![], 4, 1), "still in the host's network");
        enter(41, 9);
        assert_eq!(look(after(699)), (vec![], 4, 1), "ever less often");
        assert_eq!(look(after(700)), (vec![(9, Holder::Pod("one".into()))], 5, 0));
    }

    #[test]
    fn a_container_of_the_hosts_network_is_not_read_for_ever() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("pod")).unwrap();
        fs::write(root.path().join("pod/cgroup.procs"), "").unwrap();
        let mut unseen = Unseen::new(Some((root.path().into(), root.path().into())), 2);
        unseen.insert(1, "/pod", Holder::Pod("one".into()), Moment::default());
        for tenths in 0..10_000 {
            unseen.look(7, Moment::default().after(Duration::from_millis(100 * tenths)));
        }
        assert_eq!((unseen.reads(), unseen.table().entries), (11, 0));
    }
}
