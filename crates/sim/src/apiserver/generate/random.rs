//! Numbers that follow from a seed, and the names that are made of them.

#[derive(Clone, Debug)]
pub struct Random {
    numbers: fastrand::Rng,
}

/// The letters of generated Kubernetes names.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { numbers: fastrand::Rng::with_seed(seed) }
    }

    pub fn number(&mut self) -> u64 {
        self.numbers.u64(..)
    }

    /// Below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.numbers.usize(..limit.max(1))
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// As in the tail of `cart-7d9f8b6c5d-x2x4z`.
    pub fn suffix(&mut self, length: usize) -> String {
        self.letters(NAME_LETTERS, length)
    }

    pub fn hex(&mut self, length: usize) -> String {
        self.letters(b"0123456789abcdef", length)
    }

    /// A version 4 UUID.
    pub fn uid(&mut self) -> String {
        let hex = self.hex(30);
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..])
    }

    fn letters(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length).map(|_| char::from(alphabet[self.below(alphabet.len())])).collect()
    }
}
