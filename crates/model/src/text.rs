//! Short text from the kernel, which anybody on the host may have chosen.

use std::fmt;

/// A task's name as the kernel keeps it: 16 bytes, NUL-padded, of no particular encoding.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    pub fn is_empty(&self) -> bool {
        self.0[0] == 0
    }

    fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }
}

impl From<&str> for Comm {
    fn from(name: &str) -> Self {
        let mut comm = [0; 16];
        for (to, from) in comm.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        Self(comm)
    }
}

/// Prints what is safe on a terminal: invalid UTF-8 and control characters become U+FFFD.
impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_printable(f, self.bytes())
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Turns bytes of unknown origin into text without control characters (terminal escapes among them).
pub fn printable(bytes: &[u8]) -> String {
    struct Printable<'a>(&'a [u8]);
    impl fmt::Display for Printable<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write_printable(f, self.0)
        }
    }
    Printable(bytes).to_string()
}

fn write_printable(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    use fmt::Write;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            f.write_char(if character.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            })?;
        }
        if !chunk.invalid().is_empty() {
            f.write_char(char::REPLACEMENT_CHARACTER)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_defused() {
        assert_eq!(Comm::from("nginx").to_string(), "nginx");
        assert_eq!(
            Comm(*b"\x1b[31mred\xff\n\0\0\0\0\0\0").to_string(),
            "\u{fffd}[31mred\u{fffd}\u{fffd}"
        );
        assert_eq!(Comm(*b"0123456789abcdef").to_string(), "0123456789abcdef");
        assert_eq!(Comm::from("0123456789abcdef").to_string(), "0123456789abcde");
    }
}
