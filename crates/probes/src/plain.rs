//! Kernel memory as the types that the skeletons declare for it.

use crate::skel::{cgroup, drop, flow, tcp};

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
    flow::types::flow_peer,
    flow::types::flow_peer_key,
    drop::types::drop_key,
    drop::types::drop_count,
    cgroup::types::cgroup_event,
    u64,
);

/// The value at the front of `bytes`; `None` if they are too few.
pub fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: `bytes` holds enough of them, and any bytes are a valid `T`.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
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
    }
}
