//! Kernel memory as the types that the skeletons declare for it.

use std::mem::MaybeUninit;

use crate::skel::{cgroup, dns, drop, flow, tcp};

/// A type of which any bytes are a value.
///
/// # Safety
/// The type must be `repr(C)`, and every bit pattern of its size must be valid: integers and arrays of them only.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($name:ty),* $(,)?) => { $(
        // SAFETY: generated from a C struct that has only integers and arrays of them.
        unsafe impl Plain for $name {}
    )* };
}

plain!(
    tcp::types::tcp_event,
    flow::types::flow_event,
    flow::types::tcp_socket,
    flow::types::flow_peer,
    flow::types::flow_peer_key,
    dns::types::dns_event,
    drop::types::drop_key,
    drop::types::drop_count,
    cgroup::types::cgroup_event,
    u64,
);

/// The value at the front of `bytes`; `None` if they are too few.
pub fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    (bytes.len() >= size_of::<T>()).then(|| read_padded(bytes))
}

/// The value at the front of `words`; `None` if they are too few.
pub fn read_words<T: Plain>(words: &[u64]) -> Option<T> {
    // SAFETY: integers are readable as bytes, and `u8` has no alignment.
    let bytes = unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) };
    read(bytes)
}

/// The value that begins with `bytes` and goes on with zeros: an event may end before members that it does not need.
pub fn read_padded<T: Plain>(bytes: &[u8]) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    let length = bytes.len().min(size_of::<T>());
    // SAFETY: `length` bytes are readable there and writable here, and any bytes are a valid `T`.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast(), length);
        value.assume_init()
    }
}

/// Reads a variable that programs in the kernel write.
pub fn load<T: Copy>(variable: &T) -> T {
    // SAFETY: a reference is valid to read; volatile, because the kernel writes behind the compiler's back.
    unsafe { std::ptr::from_ref(variable).read_volatile() }
}

/// Writes a variable that programs in the kernel read.
pub fn store<T: Copy>(variable: &mut T, value: T) {
    // SAFETY: a mutable reference is valid to write; volatile, because the kernel reads it from now on.
    unsafe { std::ptr::from_mut(variable).write_volatile(value) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn short_input_is_refused() {
        assert_eq!(super::read::<u64>(&[1, 0, 0, 0, 0, 0, 0, 0, 9]), Some(1));
        assert_eq!(super::read::<u64>(&[1, 0, 0]), None);
        assert_eq!(super::read_words::<u64>(&[7, 8]), Some(7));
        assert_eq!(super::read_words::<u64>(&[]), None);
        assert_eq!(
            super::read_padded::<u64>(&[1, 2]),
            u64::from_ne_bytes([1, 2, 0, 0, 0, 0, 0, 0])
        );
    }
}
