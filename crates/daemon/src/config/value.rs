//! Durations and sizes as people write them.

use std::time::Duration;

/// `250ms`, `5s`, `15m`, `1h`; `None` if it is none of these.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return None,
    };
    unit.checked_mul(u32::try_from(number).ok()?)
}

/// `4096`, `64KiB`, `8MiB`, `1GiB` in bytes.
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let unit = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

/// The shortest exact way to write a duration.
pub fn show(duration: Duration) -> String {
    shortest(
        duration.as_millis() as u64,
        &[(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")],
    )
}

/// The shortest exact way to write a size.
pub fn show_size(bytes: u64) -> String {
    shortest(bytes, &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "")])
}

fn shortest(value: u64, units: &[(u64, &str)]) -> String {
    units
        .iter()
        .find(|(unit, _)| value.is_multiple_of(*unit))
        .map_or_else(|| value.to_string(), |(unit, name)| format!("{}{name}", value / unit))
}
