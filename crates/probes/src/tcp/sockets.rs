//! The map of sockets that `tcp.bpf.c` keeps, as user space reads it, and takes out of it what nobody uses any more.

use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};
use std::{io, ptr};

use libbpf_rs::libbpf_sys::{bpf_map_batch_opts, bpf_map_lookup_batch};
use libbpf_rs::{MapCore, MapFlags, MapHandle};

use crate::clock::Clock;
use crate::plain;
use crate::skel::flow::types::tcp_socket;

/// `STATE_FREE` of `tcp.h`.
const FREE: u8 = 0;
/// Entries that are taken from the map at once.
const CHUNK: usize = 512;

/// The entry of the socket at `address`, if one lives there.
pub fn entry(map: &MapHandle, address: u64) -> Option<tcp_socket> {
    any_entry(map, address).filter(|entry| entry.state != FREE)
}

fn any_entry(map: &MapHandle, address: u64) -> Option<tcp_socket> {
    plain::read(&map.lookup(&address.to_ne_bytes(), MapFlags::ANY).ok()??)
}

/// A walk over the map, chunk by chunk.
pub struct Walk<'a> {
    map: &'a MapHandle,
    values: Vec<u8>,
    position: Option<u32>,
    ended: bool,
    /// Entries that were not asked for.
    passed: u64,
}

impl<'a> Walk<'a> {
    /// `chunk`: the most entries that are asked for at once.
    pub fn new(map: &'a MapHandle, chunk: usize) -> Self {
        let values = vec![0; chunk * map.value_size() as usize];
        Self { map, values, position: None, ended: false, passed: 0 }
    }

    /// Puts the addresses of the next live sockets (`free`: of free entries) at the front of `keys`, which has room for a
    /// chunk; how many they are, or `None` at the end.
    pub fn next(&mut self, keys: &mut [u64], free: bool) -> io::Result<Option<usize>> {
        if self.ended {
            return Ok(None);
        }
        let count = self.read(keys)?;
        let size = self.map.value_size() as usize;
        let state = offset_of!(tcp_socket, state);
        let mut kept = 0;
        for taken in 0..count {
            if (self.values[taken * size + state] == FREE) == free {
                keys[kept] = keys[taken];
                kept += 1;
            }
        }
        self.passed += (count - kept) as u64;
        Ok(Some(kept))
    }

    fn read(&mut self, keys: &mut [u64]) -> io::Result<usize> {
        let room = keys.len().min(self.values.len() / self.map.value_size().max(1) as usize);
        let (mut next, mut count) = (0_u32, room as u32);
        let options =
            bpf_map_batch_opts { sz: size_of::<bpf_map_batch_opts>() as _, ..Default::default() };
        // SAFETY: `keys` and `values` have room for `count` of each, and positions in a hash map are 32 bits.
        let result = unsafe {
            bpf_map_lookup_batch(
                self.map.as_fd().as_raw_fd(),
                self.position.as_mut().map_or(ptr::null_mut(), ptr::from_mut).cast(),
                ptr::from_mut(&mut next).cast(),
                keys.as_mut_ptr().cast(),
                self.values.as_mut_ptr().cast(),
                &raw mut count,
                &raw const options,
            )
        };
        match -result {
            0 => self.position = Some(next),
            libc::ENOENT => self.ended = true,
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        Ok(count as usize)
    }
}

/// Gives back the memory of entries that no socket uses again. Those of sockets that come and go stay: the programs fill
/// them anew, which costs a fraction of making and deleting one.
pub struct Sweeper {
    last: Instant,
}

impl Sweeper {
    const PERIOD: Duration = Duration::from_secs(60);
    /// When a socket found no room.
    const PERIOD_FULL: Duration = Duration::from_secs(5);
    /// The kernel uses the memory of a socket again soon, or for something else.
    const AGE: Duration = Duration::from_secs(10);
    const AGE_FULL: Duration = Duration::from_secs(1);

    pub fn new() -> Self {
        Self { last: Instant::now() }
    }

    /// True if it is time to sweep.
    pub fn is_due(&self, full: bool) -> bool {
        self.last.elapsed() >= if full { Self::PERIOD_FULL } else { Self::PERIOD }
    }

    /// Deletes the entries that have been free for a while; how many others there are.
    pub fn sweep(&mut self, map: &MapHandle, full: bool) -> io::Result<u64> {
        self.last = Instant::now();
        let age = if full { Self::AGE_FULL } else { Self::AGE };
        let before = Clock::now().monotonic_now().saturating_sub(age.as_nanos() as u64);
        sweep(map, before)
    }
}

/// Deletes the entries that have been free since before `before_ns`; how many others there are.
fn sweep(map: &MapHandle, before_ns: u64) -> io::Result<u64> {
    let mut walk = Walk::new(map, CHUNK);
    let mut keys = [0; CHUNK];
    let mut kept = 0;
    while let Some(count) = walk.next(&mut keys, true)? {
        for &key in &keys[..count] {
            // Looked at again: between the two a socket may have taken it.
            let old =
                any_entry(map, key).is_some_and(|it| it.state == FREE && it.start_ns < before_ns);
            kept += u64::from(!(old && delete(map, key)));
        }
    }
    Ok(kept + walk.passed)
}

/// An entry that a socket took at this very moment is put back.
fn delete(map: &MapHandle, key: u64) -> bool {
    let key = key.to_ne_bytes();
    match map.lookup_and_delete(&key) {
        Ok(Some(value)) if value.get(offset_of!(tcp_socket, state)) != Some(&FREE) => {
            let _ = map.update(&key, &value, MapFlags::NO_EXIST);
            false
        }
        Ok(gone) => gone.is_some(),
        // Before Linux 5.14.
        Err(_) => map.delete(&key).is_ok(),
    }
}
