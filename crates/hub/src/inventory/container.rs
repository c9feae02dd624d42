//! What is kept of a container.

use super::key::Str;

/// 64 hex digits take half of their length.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerId {
    Hex([u8; 32]),
    Other(Str),
}

/// What the containers of a workload have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerKind {
    pub name: Str,
    pub image: Str,
}

impl ContainerId {
    pub fn parse(text: &str) -> Self {
        let mut bytes = [0; 32];
        let pairs = text.as_bytes().chunks_exact(2);
        if text.len() != 64 || text.bytes().any(|it| !matches!(it, b'0'..=b'9' | b'a'..=b'f')) {
            return Self::Other(text.into());
        }
        let digit = |digit: u8| if digit < b'a' { digit - b'0' } else { digit - b'a' + 10 };
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            *byte = digit(pair[0]) << 4 | digit(pair[1]);
        }
        Self::Hex(bytes)
    }

    pub fn text(&self) -> Str {
        match self {
            Self::Hex(bytes) => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let digits = bytes.iter().flat_map(|it| [it >> 4, it & 15]);
                digits.map(|it| char::from(DIGITS[usize::from(it)])).collect::<String>().into()
            }
            Self::Other(text) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_id_comes_back_as_it_was() {
        let hex = "0123456789abcdef".repeat(4);
        assert!(matches!(ContainerId::parse(&hex), ContainerId::Hex(_)));
        for text in [&*hex, &hex[1..], &hex.to_uppercase(), "", &"é".repeat(32)] {
            assert_eq!(&*ContainerId::parse(text).text(), text);
        }
        assert!(size_of::<ContainerId>() <= 40, "{}", size_of::<ContainerId>());
    }
}
