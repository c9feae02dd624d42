//! Prometheus' text format, read.

/// Samples of one scrape.
pub struct Exposition(Vec<Sample>);

struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Exposition {
    /// What is no sample is left out.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// Sum of all samples of this name that have all of these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &Sample, (key, value): &(&str, &str)| {
            sample.labels.iter().any(|(k, v)| k == key && v == value)
        };
        let wanted = self.0.iter().filter(|sample| sample.name == name);
        wanted
            .filter(|sample| labels.iter().all(|label| has(sample, label)))
            .map(|sample| sample.value)
            .sum()
    }
}

/// `name{key="value",...} number`
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((key.to_owned(), value));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP a_total what\n# TYPE a_total counter\n\
        a_total{x=\"1\",y=\"one, {two}\"} 5\na_total{x=\"1\",y=\"q\\\"q\"} 7 1700000000\na_total{x=\"2\"} 1e3\n\
        b 2.5\nbroken{x=\"1\n";

    fn check(name: &str, labels: &[(&str, &str)], sum: f64) {
        assert_eq!(Exposition::parse(TEXT).sum(name, labels), sum, "{name} {labels:?}");
    }

    #[test]
    fn samples_are_summed_by_label() {
        check("a_total", &[], 1012.0);
        check("a_total", &[("x", "1")], 12.0);
        check("a_total", &[("x", "1"), ("y", "one, {two}")], 5.0);
        check("a_total", &[("y", "q\"q")], 7.0);
        check("a_total", &[("x", "3")], 0.0);
        check("b", &[], 2.5);
        check("broken", &[], 0.0);
    }
}
