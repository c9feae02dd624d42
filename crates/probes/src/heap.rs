//! The process's heap, on which batches pass from the threads that make them to the one that frees them.

/// Freed memory from this size on, at the end of the heap, goes back to the kernel at once.
#[cfg(target_env = "gnu")]
const TRIM_BYTES: libc::c_int = 512 << 10;
/// Larger blocks are mapped for themselves. More than a batch has: mapping one anew each time would cost more than it
/// saves.
#[cfg(target_env = "gnu")]
const MMAP_BYTES: libc::c_int = 1 << 20;

/// One heap for all threads, that shrinks. glibc would make one for each, and each would keep what a burst of
/// connections once took. For whole processes: to be called at their start, before there are threads. Does nothing
/// where the C library is another one.
pub fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt may be called at any time; it changes numbers that malloc looks at. One that it does not know it
    // leaves alone.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_BYTES);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_BYTES);
    }
}
