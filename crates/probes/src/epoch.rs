//! Maps whose keys bear an epoch: programs write the present one, user space takes the past one, and neither waits.

use std::time::Duration;

use libbpf_rs::{MapCore, MapFlags, MapHandle};

use crate::plain::{self, Plain};

/// A program that read the past epoch just before it ended has finished by then.
pub const GRACE: Duration = Duration::from_millis(10);

/// Hands over and deletes the entries whose key is `past`; returns how many the map held.
pub fn take<K: Plain, V: Plain>(
    map: &MapHandle,
    past: impl Fn(&K) -> bool,
    mut each: impl FnMut(K, V),
) -> u64 {
    // Deleting while iterating would start the iteration over.
    let keys: Vec<Vec<u8>> = map.keys().take(map.max_entries() as usize).collect();
    for bytes in &keys {
        let Some(key) = plain::read::<K>(bytes).filter(&past) else { continue };
        if let Ok(Some(value)) = map.lookup(bytes, MapFlags::ANY) {
            if let Some(value) = plain::read(&value) {
                each(key, value);
            }
            map.delete(bytes).ok();
        }
    }
    keys.len() as u64
}
