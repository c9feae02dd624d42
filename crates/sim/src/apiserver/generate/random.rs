//! Numbers that follow from a seed, and the names that are made of them.

/// SplitMix64 (Steele, Lea, Flood 2014): short, and good enough for made-up clusters.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

/// The letters of generated Kubernetes names.
const NAME_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % (limit.max(1) as u64)) as usize
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
