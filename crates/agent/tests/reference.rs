//! The references in `docs/` say what the program says.

use std::path::Path;

/// Compares with the file; `AMPHIPOD_UPDATE_DOCS=1` writes it instead.
fn check(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(file);
    if std::env::var_os("AMPHIPOD_UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).expect("writable");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/{file} is out of date; run: AMPHIPOD_UPDATE_DOCS=1 cargo test -p agent --test reference"
    );
}

#[test]
fn configuration() {
    check("configuration.toml", &agent::Config::reference());
}

#[test]
fn metrics() {
    check("metrics.txt", &agent::export::metrics_reference());
}
