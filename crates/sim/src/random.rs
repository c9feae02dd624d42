//! Names like those that Kubernetes and container runtimes draw.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The letters of generated Kubernetes names: no vowels, so that no words appear.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Not for secrets.
pub fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// `length` letters, as in the tail of `cart-7d9f8b6c5d-x2x4z`.
pub fn suffix(length: usize) -> String {
    letters(NAME_LETTERS, length)
}

/// A pod's uid: a version 4 UUID.
pub fn uid() -> String {
    let hex = letters(b"0123456789abcdef", 30);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..])
}

/// A container's id: 64 hex digits.
pub fn container_id() -> String {
    letters(b"0123456789abcdef", 64)
}

fn letters(alphabet: &[u8], length: usize) -> String {
    let count = alphabet.len() as u64;
    (0..length).map(|_| char::from(alphabet[(number() % count) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_have_the_form_of_a_uuid() {
        let uid = uid();
        let parts: Vec<usize> = uid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{uid}");
        assert_ne!(uid, super::uid());
    }
}
