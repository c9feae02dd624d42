//! The process's heap, on which batches pass from the threads that make them to the one that frees them.

/// Freed memory from this size on, at the end of the heap, goes back to the kernel at once.
#[cfg(target_env = "gnu")]
const TRIM_BYTES: libc::c_int = 512 << 10;

/// One heap for all threads, that shrinks. glibc would make one for each, and each would keep what a burst of
/// connections once took. For whole processes: to be called at their start, before there are threads. Does nothing
/// where the C library is another one.
///
/// Blocks of `mapped_bytes` and more are mapped for themselves: they take no more than was written to, and are gone when
/// they are freed, and each costs some microseconds.
#[cfg_attr(not(target_env = "gnu"), allow(unused_variables))]
pub fn share_heap(mapped_bytes: u32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt may be called at any time; it changes numbers that malloc looks at. One that it does not know it
    // leaves alone.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_BYTES);
        libc::mallopt(libc::M_MMAP_THRESHOLD, mapped_bytes.try_into().unwrap_or(libc::c_int::MAX));
    }
}
