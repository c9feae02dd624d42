//! The filter flags, made from the list of keys in [`model::filter`]: one list for flags, API and help.

use clap::{Arg, ArgAction, ArgMatches, Command};
use model::filter::KEYS;

/// Filters as they were given, in the order in which they were given: `--not` inverts the one that follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(Vec<(&'static str, String)>);

impl Filters {
    /// Keys with `_` as in the API, and values.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }

    pub fn contains(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| *name == key)
    }
}

impl clap::Args for Filters {
    fn augment_args(command: Command) -> Command {
        command
            .args(KEYS.iter().map(|key| {
                let arg = Arg::new(key.name)
                    .long(key.name.replace('_', "-"))
                    .help(key.help)
                    .help_heading("Filters (repeated: or; different: and)")
                    .action(ArgAction::Append);
                let arg = if key.name == "namespace" { arg.short('n') } else { arg };
                if key.value.is_empty() {
                    // Appends a value each time, so that each one has its place among the others.
                    arg.num_args(0).default_missing_value("1")
                } else {
                    arg.value_name(key.value)
                }
            }))
            .next_help_heading(None::<&str>)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Filters {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found = Vec::new();
        for key in KEYS {
            let indices = matches.indices_of(key.name).into_iter().flatten();
            let values = matches.get_many::<String>(key.name).into_iter().flatten();
            found
                .extend(indices.zip(values).map(|(index, value)| (index, key.name, value.clone())));
        }
        found.sort_by_key(|(index, ..)| *index);
        Ok(Self(found.into_iter().map(|(_, key, value)| (key, value)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &[(&'static str, &str)]) {
        let command = Filters::augment_args(Command::new("test").no_binary_name(true));
        let matches = command.try_get_matches_from(line.split_whitespace()).unwrap();
        let filters = Filters::from_arg_matches(&matches).unwrap();
        assert_eq!(filters.pairs().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn order_is_kept_so_that_not_inverts_the_next() {
        check("", &[]);
        check("--pod a --from-pod=b --pod c", &[("pod", "a"), ("from_pod", "b"), ("pod", "c")]);
        check(
            "--not --pod a --port 80 --not -n kube-system --port 81",
            &[
                ("not", "1"),
                ("pod", "a"),
                ("port", "80"),
                ("not", "1"),
                ("namespace", "kube-system"),
                ("port", "81"),
            ],
        );
        check("--to-ip fd00::/8 --not", &[("to_ip", "fd00::/8"), ("not", "1")]);
    }
}
