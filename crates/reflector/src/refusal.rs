//! What the API server says where it refuses.

/// `Status`, as far as it is told on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// As in HTTP; zero where it was not said.
    pub code: u16,
    /// `Expired`, `Forbidden` ...
    pub reason: String,
    /// For people; shortened.
    pub message: String,
    /// Zero where it was not said.
    pub retry_after_s: u64,
    /// The API server's memory ends before the place that was named.
    pub is_ahead: bool,
}

/// A message is a line in a log.
const MESSAGE_BYTES: usize = 300;

impl Refusal {
    pub fn set_message(&mut self, text: &[u8]) {
        self.message = line(text);
    }

    /// One of the causes in its details.
    pub fn set_cause(&mut self, reason: &[u8]) {
        self.is_ahead |= reason == b"ResourceVersionTooLarge";
    }

    pub fn set_reason(&mut self, text: &[u8]) {
        self.reason = line(text);
    }

    /// Whether the place where a watch or a list should go on is not known: it is too long ago, or, after the API
    /// server's memory was restored from an older one, not there yet.
    pub fn expired(&self) -> bool {
        self.is_ahead || self.code == 410 || matches!(self.reason.as_str(), "Expired" | "Gone")
    }
}

/// One bounded line, whatever the bytes are.
pub fn line(text: &[u8]) -> String {
    let cut = &text[..text.len().min(MESSAGE_BYTES)];
    let text = String::from_utf8_lossy(cut);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}
