//! A file as it is written: TOML with one section per module. The defaults are the one list of valid keys, and the reference.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::Error;

/// A section's or a key's name, and its explanation line by line.
pub type Help = (&'static str, &'static [&'static str]);

/// A whole file. Made by [`sections!`](crate::sections).
pub trait Sections: Default + Serialize + DeserializeOwned {
    /// Each section with its keys.
    const HELP: &[(Help, &[Help])];
}

/// One section: its keys, each with its explanation, type and default.
#[macro_export]
macro_rules! section {
    ($name:ident { $($(#[doc = $help:literal])+ $key:ident: $type:ty = $default:expr),* $(,)? }) => {
        #[derive(Debug, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default)]
        pub struct $name { $($(#[doc = $help])+ pub(super) $key: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default.into(),)* }
            }
        }

        impl $name {
            pub const HELP: &[$crate::config::Help] = &[$((stringify!($key), &[$($help),+])),*];
        }
    };
}

/// The sections of a file called `Raw`, in the order of the reference.
#[macro_export]
macro_rules! sections {
    ($($(#[doc = $help:literal])+ $key:ident: $type:ident),* $(,)?) => {
        #[derive(Debug, Default, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default)]
        pub(super) struct Raw { $($(#[doc = $help])+ pub(super) $key: $type,)* }

        impl $crate::config::Sections for Raw {
            const HELP: &[($crate::config::Help, &[$crate::config::Help])] =
                &[$(((stringify!($key), &[$($help),+]), $type::HELP)),*];
        }
    };
}

/// Every key with its explanation and default, as TOML.
pub fn reference<R: Sections>() -> String {
    let defaults = Table::try_from(R::default()).unwrap_or_default();
    let mut text = String::new();
    let comment = |text: &mut String, help: &[&str]| {
        help.iter().for_each(|line| *text += &format!("#{line}\n"))
    };
    for ((section, help), keys) in R::HELP {
        comment(&mut text, help);
        text += &format!("[{section}]\n");
        for (key, help) in *keys {
            comment(&mut text, help);
            let default = defaults.get(*section).and_then(|section| section.get(*key));
            text += &default.map(|default| format!("{key} = {default}\n")).unwrap_or_default();
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len() + 1);
    text
}

/// # Errors
/// No TOML; a key that does not exist, with the nearest that does; a value of another type.
pub fn parse<R: Sections>(text: &str) -> Result<R, Error> {
    let given: Table =
        text.parse().map_err(|error: toml::de::Error| Error::Syntax(one_line(&error, text)))?;
    let valid = Table::try_from(R::default()).map_err(|error| Error::Syntax(error.to_string()))?;
    compare(&given, &valid, "", &valid)?;
    given.try_into().map_err(|error: toml::de::Error| Error::Syntax(error.message().to_owned()))
}

/// Every given key must exist among the valid ones, with a value of the same type.
fn compare(given: &Table, valid: &Table, above: &str, all: &Table) -> Result<(), Error> {
    for (name, value) in given {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match (value, valid.get(name)) {
            (_, None) => return Err(Error::Unknown { nearest: nearest(&key, name, all), key }),
            (Value::Table(value), Some(Value::Table(valid))) => compare(value, valid, &key, all)?,
            (value, Some(default))
                if !value.same_type(default)
                    || value.as_integer().is_some_and(i64::is_negative) =>
            {
                let expected = expected(default);
                return Err(Error::Value { key, value: quoted(value), expected });
            }
            _ => {}
        }
    }
    Ok(())
}

/// On one line.
fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        value => value.to_string().replace('\n', " "),
    }
}

fn expected(default: &Value) -> String {
    match default {
        Value::Table(_) => "a section with keys of its own".into(),
        Value::Boolean(_) => "true or false".into(),
        Value::Array(_) => format!("a list, such as {default}"),
        Value::Integer(_) => format!("a whole number, such as {default}"),
        default => format!("text in quotes, such as {default}"),
    }
}

/// The valid key whose last part is written most like `name`, one of the same section first; `None` if none is near.
fn nearest(key: &str, name: &str, all: &Table) -> Option<String> {
    let section = key.strip_suffix(name).unwrap_or_default().trim_end_matches('.');
    let sections = all.keys().map(|last| ("", last)).filter(|_| section.is_empty());
    let keys = all.iter().flat_map(|(section, keys)| {
        keys.as_table().into_iter().flatten().map(move |(last, _)| (section.as_str(), last))
    });
    let (distance, _, (above, last)) = sections
        .chain(keys)
        .map(|(above, last)| {
            (strsim::damerau_levenshtein(name, last), above != section, (above, last))
        })
        .min()?;
    let near = distance <= 1.max(name.len() / 3);
    near.then(|| if above.is_empty() { last.clone() } else { format!("{above}.{last}") })
}

fn one_line(error: &toml::de::Error, text: &str) -> String {
    let line =
        error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    let message = error.message().replace('\n', ", ");
    line.map_or(message.clone(), |line| format!("line {line}: {message}"))
}
