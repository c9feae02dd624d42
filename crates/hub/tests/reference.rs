//! The reference in `docs/` says what the program says.

// Functions that tests share are no tests for clippy.
#![allow(clippy::expect_used)]

use std::path::Path;

/// `AMPHIPOD_UPDATE_DOCS=1` writes it instead.
#[test]
fn configuration() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/hub.toml");
    let expected = hub::Config::reference();
    if std::env::var_os("AMPHIPOD_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).expect("writable");
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == expected,
        "docs/hub.toml is out of date; run: AMPHIPOD_UPDATE_DOCS=1 cargo test -p hub --test reference"
    );
}
