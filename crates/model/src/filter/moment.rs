//! Points in time as people give them.

use std::time::Duration;

use crate::Timestamp;

pub(super) const ALLOWED: &str =
    "how long ago (30s, 5m, 1h30m, 2d) or a time such as 2026-01-31T10:24:00Z";

/// `5m` is five minutes before `now`; everything else is RFC 3339.
pub(super) fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(ago) = duration(text) {
        let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
        return Some(Timestamp(now.0.saturating_sub(ago)));
    }
    text.parse().ok()
}

/// Numbers with units (`d h m s ms`), largest first or not, without blanks; not empty.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    loop {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let letters =
            after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len());
        let unit_ms: u64 = match &after[..letters] {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit_ms)?))?;
        rest = &after[letters..];
        if rest.is_empty() {
            return Some(total);
        }
    }
}
