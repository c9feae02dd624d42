//! Reading what an iterator program writes.

use std::io::Read;

use libbpf_rs::{Iter, Link};

use crate::plain::{self, Plain};

/// Runs the iterator once over everything, handing each record to `each`.
///
/// # Errors
/// If the kernel refuses to start or to continue; what came until then has been handed over.
pub fn run<T: Plain>(link: &Link, mut each: impl FnMut(T)) -> std::io::Result<()> {
    let mut iterator = Iter::new(link).map_err(std::io::Error::other)?;
    let mut buffer = vec![0; 64 << 10];
    let mut filled = 0;
    loop {
        let read = match iterator.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            // The kernel asks to come again where it skipped a lot without output.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        filled += read;
        let whole = filled - filled % size_of::<T>();
        buffer[..whole].chunks_exact(size_of::<T>()).filter_map(plain::read).for_each(&mut each);
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}
