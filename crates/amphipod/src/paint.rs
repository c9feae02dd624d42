//! Text for a terminal: coloured where wanted, and never with a control character that came from outside.

use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    /// Of less interest.
    Faint,
    /// Went well, and is worth seeing.
    Good,
    /// Worth a look.
    Odd,
    /// Went wrong.
    Bad,
}

impl Tone {
    fn sequence(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Faint => Some("\x1b[2m"),
            Self::Good => Some("\x1b[32m"),
            Self::Odd => Some("\x1b[33m"),
            Self::Bad => Some("\x1b[1;31m"),
        }
    }
}

/// A piece of a line.
pub type Span = (Tone, String);

/// Collects the text of one record.
pub struct Paint {
    text: String,
    colour: bool,
}

impl Paint {
    pub fn new(colour: bool) -> Self {
        Self { text: String::new(), colour }
    }

    pub fn clear(&mut self) {
        self.text.clear();
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn put(&mut self, tone: Tone, text: &str) {
        match tone.sequence().filter(|_| self.colour) {
            Some(sequence) => {
                self.text.push_str(sequence);
                self.plain(text);
                self.text.push_str("\x1b[0m");
            }
            None => self.plain(text),
        }
    }

    pub fn plain(&mut self, text: &str) {
        self.text.push_str(&printable(text));
    }

    pub fn pad(&mut self, blanks: usize) {
        self.text.extend(std::iter::repeat_n(' ', blanks));
    }

    pub fn line_feed(&mut self) {
        self.text.push('\n');
    }
}

/// Control characters (the C1 set and DEL among them, which JSON lets pass) become U+FFFD.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        model::text::printable(text.as_bytes()).into()
    } else {
        text.into()
    }
}
