//! Quantities as people read them.

/// Decimal units, three digits: `0B`, `999B`, `1.2kB`, `34.5MB`.
pub fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// A count of anything: `12`, `1.2k`, `3.4M`.
pub fn count(count: u64) -> String {
    scaled(count as f64, &["", "k", "M", "G", "T", "P", "E"])
}

/// A rate per second; below ten with one digit: `0`, `0.4`, `12`, `1.2k`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate < 0.05 => "0".to_owned(),
        rate if rate < 9.95 => format!("{rate:.1}"),
        rate => scaled(rate, &["", "k", "M", "G", "T", "P", "E"]),
    }
}

fn scaled(value: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut unit = 0;
    // What would print as 1000 belongs to the next unit.
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 || value >= 99.95 {
        format!("{value:.0}{}", units[unit])
    } else {
        format!("{value:.1}{}", units[unit])
    }
}

/// A span given in microseconds: `0.21ms`, `123ms`, `1.23s`, `2m03s`, `1h02m`, `2d03h`.
pub fn span_us(us: u64) -> String {
    let seconds = us / 1_000_000;
    match us {
        0..10_000 => format!("{:.2}ms", us as f64 / 1e3),
        10_000..1_000_000 => format!("{}ms", us / 1000),
        1_000_000..60_000_000 => format!("{:.2}s", us as f64 / 1e6),
        60_000_000..3_600_000_000 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600_000_000..86_400_000_000 => {
            format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60)
        }
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// An interval, in whole seconds where it is: `5s`, `250ms`.
pub fn interval_ms(ms: u64) -> String {
    if ms.is_multiple_of(1000) {
        format!("{}s", ms / 1000)
    } else {
        span_us(ms.saturating_mul(1000))
    }
}

/// `1 packet`, `2 packets`.
pub fn plural(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Nodes that are named where more are meant.
pub const NAMED: usize = 3;

/// `n1, n2`; `120 nodes (n1, n2, n3 ...)`.
pub fn names(nodes: &[&str]) -> String {
    match nodes {
        few if few.len() <= NAMED => few.join(", "),
        many => format!("{} nodes ({} ...)", count(many.len() as u64), many[..NAMED].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_keep_three_digits_and_never_print_1000() {
        for (value, expected) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.0kB"),
            (1234, "1.2kB"),
            (99_949, "99.9kB"),
            (99_951, "100kB"),
            (999_499, "999kB"),
            (999_500, "1.0MB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(bytes(value), expected);
        }
        for (value, expected) in
            [(0.0, "0"), (0.04, "0"), (0.44, "0.4"), (9.96, "10"), (1234.0, "1.2k")]
        {
            assert_eq!(rate(value), expected);
        }
        assert_eq!(plural(1, "packet"), "1 packet");
        assert_eq!(plural(1500, "packet"), "1.5k packets");
    }

    #[test]
    fn spans() {
        for (us, expected) in [
            (0, "0.00ms"),
            (210, "0.21ms"),
            (9_999, "10.00ms"),
            (123_456, "123ms"),
            (1_234_567, "1.23s"),
            (123_000_000, "2m03s"),
            (3_720_000_000, "1h02m"),
            (183_600_000_000, "2d03h"),
        ] {
            assert_eq!(span_us(us), expected);
        }
        assert_eq!(interval_ms(5000), "5s");
        assert_eq!(interval_ms(250), "250ms");
    }
}
