//! What the hub logs, for all tests of this program.

use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

static TEXT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Text;

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        TEXT.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub fn keep() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let subscriber = tracing_subscriber::fmt().json().with_writer(|| Text).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

pub fn text() -> String {
    String::from_utf8(TEXT.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
}

/// Lines about people.
pub fn audit() -> Vec<serde_json::Value> {
    let text = text();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["target"] == "audit").map(|line| line["fields"].clone()).collect()
}
