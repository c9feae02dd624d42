//! Process id to owner, for sockets whose cgroup id says nothing (cgroup v1 only, or not known yet). A look into
//! `/proc/PID/cgroup`, cached for a moment and at a bounded rate.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use super::cgroups::Owner;
use super::clock::Moment;
use super::counters::Table;
use hashbrown::HashMap;

/// How long an answer holds; a pid may be another process after that.
const FRESH: Duration = Duration::from_secs(5);
/// Reads in one second.
const RATE: u32 = 1_000;
/// A line for each hierarchy; paths are at most 4 KiB.
const MAX_BYTES: u64 = 64 << 10;

#[derive(Debug)]
pub struct Processes {
    /// `None`: the probes' pids are not this procfs's.
    proc_root: Option<PathBuf>,
    /// By pid and, since a pid is reused sooner than both, network namespace.
    owners: HashMap<(u32, u32), (Moment, Option<Owner>)>,
    order: VecDeque<(Moment, (u32, u32))>,
    second: Moment,
    spent: u32,
    limit: usize,
    evicted: u64,
    reads: u64,
}

impl Processes {
    pub fn new(proc_root: Option<PathBuf>, limit: usize) -> Self {
        Self {
            proc_root,
            owners: HashMap::new(),
            order: VecDeque::new(),
            second: Moment::default(),
            spent: 0,
            limit,
            evicted: 0,
            reads: 0,
        }
    }

    /// The owner of `pid`; `owner` makes it of the text of `/proc/PID/cgroup`.
    pub fn owner(
        &mut self,
        pid: u32,
        netns: u32,
        at: Moment,
        owner: impl FnOnce(&str) -> Option<Owner>,
    ) -> Option<Owner> {
        let key = (pid, netns);
        if let Some((moment, owner)) = self.owners.get(&key)
            && at.since(*moment) < FRESH
        {
            return owner.clone();
        }
        if pid == 0 || !self.spend(at) {
            return None;
        }
        let path = self.proc_root.as_ref()?.join(pid.to_string()).join("cgroup");
        self.reads += 1;
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text));
        let owner = read.ok().and_then(|_| owner(&String::from_utf8_lossy(&text)));
        while self.owners.len() >= self.limit && !self.owners.contains_key(&key) {
            let Some((_, oldest)) = self.order.pop_front() else { return owner };
            if self.owners.remove(&oldest).is_some() {
                self.evicted += 1;
            }
        }
        if self.owners.insert(key, (at, owner.clone())).is_none() {
            self.order.push_back((at, key));
        }
        owner
    }

    fn spend(&mut self, at: Moment) -> bool {
        if at.since(self.second) >= Duration::from_secs(1) {
            (self.second, self.spent) = (at, 0);
        }
        self.spent += 1;
        self.spent <= RATE
    }

    pub fn expire(&mut self, at: Moment) {
        while let Some(&(moment, key)) = self.order.front() {
            if at.since(moment) < FRESH {
                return;
            }
            self.order.pop_front();
            match self.owners.get(&key) {
                Some((read, _)) if at.since(*read) < FRESH => self.order.push_back((at, key)),
                _ => drop(self.owners.remove(&key)),
            }
        }
    }

    pub fn reads(&self) -> u64 {
        self.reads
    }

    pub fn table(&self) -> Table {
        Table {
            name: "processes",
            entries: self.owners.len() as u64,
            max_entries: self.limit as u64,
            evicted: self.evicted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_cached_and_bounded() {
        let root = tempfile::tempdir().unwrap();
        for pid in 1..=4 {
            let directory = root.path().join(pid.to_string());
            std::fs::create_dir(&directory).unwrap();
            std::fs::write(directory.join("cgroup"), format!("0::/{pid}\n")).unwrap();
        }
        let mut processes = Processes::new(Some(root.path().into()), 3);
        let start = Moment::default();
        let make = |text: &str| Some(Owner::Pod { uid: text.trim_end().into(), container: None });
        for _ in 0..3 {
            assert_eq!(processes.owner(1, 9, start, make), make("0::/1"));
        }
        assert_eq!(processes.reads(), 1);
        assert_eq!(processes.owner(77, 9, start, make), None);
        for pid in 2..=4 {
            assert!(processes.owner(pid, 9, start, make).is_some());
        }
        let table = processes.table();
        assert_eq!((table.entries, table.evicted), (3, 2));
        // The process ended: its pid answers until the answer is old.
        std::fs::remove_dir_all(root.path().join("4")).unwrap();
        assert!(processes.owner(4, 9, start.after(FRESH / 2), make).is_some());
        assert!(processes.owner(4, 9, start.after(FRESH), make).is_none());
        processes.expire(start.after(FRESH * 3));
        processes.expire(start.after(FRESH * 6));
        assert_eq!((processes.table().entries, processes.order.len()), (0, 0));
    }

    #[test]
    fn the_rate_is_bounded() {
        let mut processes = Processes::new(Some("/nowhere".into()), 10_000);
        for pid in 1..=2 * RATE {
            processes.owner(pid, 0, Moment::default(), |_| None);
        }
        assert_eq!(processes.reads(), u64::from(RATE));
        processes.owner(1_000_000, 0, Moment::default().after(Duration::from_secs(1)), |_| None);
        assert_eq!(processes.reads(), u64::from(RATE) + 1);
    }
}
