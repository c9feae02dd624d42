//! One probe's programs, maps and losses, and what the kernel says of them.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libbpf_rs::libbpf_sys::{bpf_prog_get_info_by_fd, bpf_prog_info};
use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};
use model::status::{Loss, MapStatus, ProgramState, ProgramStatus};

use crate::Report;

/// The causes that `enum loss` in `bpf/probe.h` numbers.
const KERNEL_CAUSES: [&str; 4] = ["ring_full", "map_full", "map_busy", "unreadable"];

pub struct Health {
    probe: &'static str,
    programs: Mutex<Vec<Program>>,
    maps: Mutex<Vec<Map>>,
    shed: AtomicU64,
    stream: AtomicU64,
    /// What the probe's own thread had to give up, by stage and cause.
    given_up: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

struct Program {
    name: String,
    state: ProgramState,
    reason: String,
    fd: Option<OwnedFd>,
}

struct Map {
    name: String,
    handle: MapHandle,
    /// As counted by whoever walks it anyway; `None` where nobody does.
    entries: Option<u64>,
}

impl Health {
    pub fn new(probe: &'static str, programs: &[&str]) -> Self {
        let programs = programs.iter().map(|&name| Program {
            name: name.to_owned(),
            state: ProgramState::Disabled,
            reason: String::new(),
            fd: None,
        });
        Self {
            probe,
            programs: Mutex::new(programs.collect()),
            maps: Mutex::default(),
            shed: AtomicU64::new(0),
            stream: AtomicU64::new(0),
            given_up: Mutex::default(),
        }
    }

    /// Every program of the probe at once: switched off, or the object does not load.
    pub fn all(&self, state: ProgramState, reason: &str) {
        for program in lock(&self.programs).iter_mut() {
            program.state = state;
            reason.clone_into(&mut program.reason);
        }
    }

    pub fn active(&self, program: &str) {
        self.set(program, ProgramState::Active, "");
    }

    pub fn failed(&self, program: &str, reason: &str) {
        tracing::warn!(probe = self.probe, program, reason, "program failed");
        self.set(program, ProgramState::Failed, reason);
    }

    /// Left out, because this kernel cannot carry it.
    pub fn set(&self, program: &str, state: ProgramState, reason: &str) {
        if let Some(found) = lock(&self.programs).iter_mut().find(|known| known.name == program) {
            found.state = state;
            reason.clone_into(&mut found.reason);
        }
    }

    pub fn loaded(&self, program: &str, fd: Option<OwnedFd>) {
        if let Some(found) = lock(&self.programs).iter_mut().find(|known| known.name == program) {
            found.fd = fd;
        }
    }

    pub fn map(&self, name: String, handle: MapHandle) {
        lock(&self.maps).push(Map { name, handle, entries: None });
    }

    pub fn entries(&self, map: &str, entries: u64) {
        if let Some(found) = lock(&self.maps).iter_mut().find(|known| known.name == map) {
            found.entries = Some(entries);
        }
    }

    /// Observations for which the queue had no room.
    pub fn shed(&self, count: u64) {
        self.shed.fetch_add(count, Ordering::Relaxed);
    }

    /// Events that user space could not make sense of.
    pub fn malformed(&self) {
        self.stream.fetch_add(1, Ordering::Relaxed);
    }

    /// One of what the probe would have delivered.
    pub fn lose(&self, stage: &'static str, cause: &'static str) {
        *lock(&self.given_up).entry((stage, cause)).or_default() += 1;
    }

    pub fn report(&self, report: &mut Report) {
        for program in lock(&self.programs).iter() {
            let info = program.fd.as_ref().map(program_info).unwrap_or_default();
            report.programs.push(ProgramStatus {
                probe: self.probe.to_owned(),
                program: program.name.clone(),
                state: program.state,
                reason: program.reason.clone(),
                runs: info.run_cnt,
                run_time_ns: info.run_time_ns,
                recursion_misses: info.recursion_misses,
            });
        }
        for map in lock(&self.maps).iter() {
            if map.name == "lost" {
                self.kernel_losses(&map.handle, report);
            } else if map.handle.map_type() != MapType::SkStorage {
                report.maps.push(self.map_status(map));
            }
        }
        self.loss(report, "queue", "full", self.shed.load(Ordering::Relaxed));
        self.loss(report, "ring", "malformed", self.stream.load(Ordering::Relaxed));
        for ((stage, cause), count) in lock(&self.given_up).iter() {
            self.loss(report, stage, cause, *count);
        }
    }

    fn map_status(&self, map: &Map) -> MapStatus {
        let hash = map.handle.map_type() == MapType::Hash;
        MapStatus {
            probe: self.probe.to_owned(),
            map: map.name.clone(),
            entries: map
                .entries
                .unwrap_or_else(|| if hash { map.handle.keys().count() as u64 } else { 0 }),
            max_entries: u64::from(map.handle.max_entries()),
            memory_bytes: map_memory(&map.handle),
        }
    }

    fn kernel_losses(&self, lost: &MapHandle, report: &mut Report) {
        for (cause, name) in (0_u32..).zip(KERNEL_CAUSES) {
            let per_cpu = lost
                .lookup_percpu(&cause.to_ne_bytes(), MapFlags::ANY)
                .ok()
                .flatten()
                .unwrap_or_default();
            let count = per_cpu.iter().filter_map(|bytes| crate::plain::read::<u64>(bytes)).sum();
            self.loss(report, "kernel", name, count);
        }
    }

    fn loss(&self, report: &mut Report, stage: &str, cause: &str, count: u64) {
        report.losses.push(Loss {
            probe: self.probe.to_owned(),
            stage: stage.to_owned(),
            cause: cause.to_owned(),
            count,
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn program_info(fd: &OwnedFd) -> bpf_prog_info {
    let mut info = bpf_prog_info::default();
    let mut size = size_of::<bpf_prog_info>() as u32;
    // SAFETY: `info` is writable for `size` bytes, and the descriptor is open.
    let failed =
        unsafe { bpf_prog_get_info_by_fd(fd.as_raw_fd(), &raw mut info, &raw mut size) } != 0;
    if failed { bpf_prog_info::default() } else { info }
}

/// What the kernel charges for the map, in bytes; 0 where it does not say.
fn map_memory(map: &impl MapCore) -> u64 {
    let fd: BorrowedFd<'_> = map.as_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))
        .unwrap_or_default();
    let memory = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    memory.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}
