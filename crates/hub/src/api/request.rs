//! What may be asked: each parameter is declared once, for the check and for the OpenAPI document.

use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use daemon::config::value::duration;
use daemon::http::Problem;
use model::Timestamp;

use super::compare::Compare;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    pub name: &'static str,
    pub help: &'static str,
    pub form: Form,
    /// May be given more than once.
    pub repeated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// RFC 3339, `now`, or a duration before now.
    Time,
    Text,
    /// `10s`, `5m`.
    Step,
    /// An earlier time.
    Compare,
    OneOf(&'static [&'static str]),
    Measure,
    /// `NAMESPACE/KIND/NAME`.
    Workload,
    /// From 0 to so many.
    UpTo(usize),
    /// From 1 to `most`.
    Limit {
        usual: usize,
        most: usize,
    },
}

pub const fn one(name: &'static str, form: Form, help: &'static str) -> Parameter {
    Parameter { name, help, form, repeated: false }
}

pub const fn many(name: &'static str, form: Form, help: &'static str) -> Parameter {
    Parameter { name, help, form, repeated: true }
}

pub const SINCE: Parameter =
    one("since", Form::Time, "From then on; default: 15 minutes before until");
pub const UNTIL: Parameter = one("until", Form::Time, "Up to then; default: now");

pub const COMPARE: Parameter = one(
    "compare",
    Form::Compare,
    "Answer also, as `earlier`, about an earlier time of the same length: so much before (1d), just before (previous), from \
     a time on, or up to the last deploy of a workload (deploy:NAMESPACE/KIND/NAME)",
);
/// What [`COMPARE`] may be.
const EARLIER: &str =
    "how long before, such as 1d, previous, a time, or deploy:NAMESPACE/KIND/NAME";

const USUAL: u64 = 15 * 60;
const LONGEST_S: u64 = 400 * 86_400;
/// Characters of a text, such as a name.
const LONGEST_TEXT: usize = 1024;
/// Of one request.
const MOST_PARAMETERS: usize = 256;

/// A query that has only what is declared, each with a value of its form.
pub struct Request(Vec<(String, String)>);

pub type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

pub fn bad(detail: impl Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

impl Request {
    /// # Errors
    /// The parameter is named, and what may be given.
    pub fn parse(query: Pairs, declared: &[Parameter]) -> Result<Self, Problem> {
        let Query(pairs) = query.map_err(bad)?;
        few(&pairs)?;
        for (place, (name, value)) in pairs.iter().enumerate() {
            let Some(parameter) = declared.iter().find(|it| it.name == name) else {
                let name = model::text::printable(name.as_bytes());
                let known: Vec<&str> = declared.iter().map(|it| it.name).collect();
                let known = match known.is_empty() {
                    true => "there are none here".to_owned(),
                    false => format!("known are {}", known.join(", ")),
                };
                return Err(bad(format!("unknown parameter {name:?}; {known}")));
            };
            if !parameter.repeated && pairs[..place].iter().any(|(other, _)| other == name) {
                return Err(bad(format!("{name}: given more than once; give it once")));
            }
            parameter.check(value)?;
        }
        Ok(Self(pairs))
    }

    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Of a value whose form has been checked.
    pub fn parsed<T: FromStr>(&self, name: &str) -> Option<T> {
        self.one(name)?.parse().ok()
    }

    pub fn limit(&self, declared: &Parameter) -> usize {
        let Form::Limit { usual, .. } = declared.form else { return 0 };
        self.parsed(declared.name).unwrap_or(usual)
    }

    pub fn step_s(&self) -> Option<u64> {
        Some(duration(self.one("step")?)?.as_secs())
    }

    /// In seconds since 1970.
    pub fn times_s(&self, now: Timestamp) -> Result<Range<u64>, Problem> {
        let time = |name| Some(moment(self.one(name)?, now)?.0 / 1_000_000_000);
        let now_s = now.0 / 1_000_000_000;
        let until = time("until").unwrap_or(now_s);
        let since = time("since").unwrap_or(until.saturating_sub(USUAL));
        if since >= until {
            return Err(bad("since is not before until"));
        }
        if since >= now_s {
            return Err(bad("since: expected a time that has passed"));
        }
        if until - since > LONGEST_S {
            return Err(bad("since and until: expected at most 400 days"));
        }
        Ok(since..until.min(now_s + 10))
    }
}

/// # Errors
/// There are more than anybody needs.
pub fn few(pairs: &[(String, String)]) -> Result<(), Problem> {
    match pairs.len() {
        0..=MOST_PARAMETERS => Ok(()),
        _ => Err(bad(format!("more than {MOST_PARAMETERS} parameters"))),
    }
}

impl Parameter {
    /// # Errors
    /// The value is not of its form.
    pub fn check(&self, value: &str) -> Result<(), Problem> {
        let shown = || model::text::printable(value.as_bytes());
        let expected = match self.form {
            Form::Time if moment(value, Timestamp::now()).is_none() => {
                "RFC 3339 such as 2026-01-31T12:00:00Z, now, or a time before now such as -15m"
                    .to_owned()
            }
            Form::Text if value.chars().count() > LONGEST_TEXT => {
                format!("at most {LONGEST_TEXT} characters")
            }
            Form::Step => match duration(value).map(|it| it.as_secs()) {
                Some(step) if step > 0 && step % 10 == 0 && step <= 31 * 86_400 => return Ok(()),
                _ => "a multiple of ten seconds, such as 10s, 5m or 1h".to_owned(),
            },
            Form::OneOf(known) if !known.contains(&value) => {
                // Nothing, where that may be given, is not worth saying.
                let known = known.iter().filter(|it| !it.is_empty());
                known.copied().collect::<Vec<_>>().join(", ")
            }
            Form::Measure => match value.parse::<model::Measure>() {
                Ok(_) => return Ok(()),
                Err(error) => return Err(bad(error)),
            },
            Form::Workload => match value.parse::<crate::query::Name>() {
                Ok(_) => return Ok(()),
                Err(error) => return Err(bad(format!("{}: {error}", self.name))),
            },
            Form::Compare => match value.parse::<Compare>() {
                Ok(_) => return Ok(()),
                Err(()) => EARLIER.to_owned(),
            },
            Form::UpTo(most) => match value.parse::<usize>() {
                Ok(number) if number <= most => return Ok(()),
                _ => format!("a whole number up to {most}"),
            },
            Form::Limit { most, .. } => match value.parse::<usize>() {
                Ok(limit) if (1..=most).contains(&limit) => return Ok(()),
                _ => format!("a whole number from 1 to {most}"),
            },
            _ => return Ok(()),
        };
        Err(bad(format!("{} = {:?}: expected {expected}", self.name, shown())))
    }
}

pub fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if text == "now" {
        return Some(now);
    }
    if let Some(before) = text.strip_prefix('-') {
        let before = u64::try_from(length(before)?.as_nanos()).unwrap_or(u64::MAX);
        return Some(Timestamp(now.0.saturating_sub(before)));
    }
    text.parse().ok()
}

/// A duration, also in days.
pub fn length(text: &str) -> Option<Duration> {
    match text.strip_suffix('d') {
        Some(days) => Some(Duration::from_secs(u64::from(days.parse::<u32>().ok()?) * 86_400)),
        None => duration(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_before_now() {
        let now = Timestamp(1_800_000_000_000_000_000);
        let check = |pairs: &[(&str, &str)], expected: Option<Range<u64>>| {
            let pairs = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            let request = Request::parse(Ok(Query(pairs)), &[SINCE, UNTIL]).ok();
            assert_eq!(request.and_then(|it| it.times_s(now).ok()), expected);
        };
        let s = 1_800_000_000;
        check(&[], Some(s - 900..s));
        check(&[("since", "-1h")], Some(s - 3600..s));
        check(&[("since", "-7d"), ("until", "-1d")], Some(s - 7 * 86_400..s - 86_400));
        check(&[("since", "2027-01-15T07:00:00Z"), ("until", "now")], Some(s - 3600..s));
        check(&[("since", "now")], None);
        check(&[("since", "-1h"), ("until", "-2h")], None);
        check(&[("since", "yesterday")], None);
        check(&[("since", "-1h"), ("since", "-1h")], None);
        check(&[("limit", "1")], None);
    }
}
