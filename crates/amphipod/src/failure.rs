//! How a command ends that could not do its work: one line on stderr, and an exit code.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use crate::output::Closed;

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// The command line asks for something that cannot be.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A reader that has closed our output has seen enough: that is no failure.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if error.is::<Closed>() {
        return ExitCode::SUCCESS;
    }
    say(&chain(error));
    ExitCode::from(if error.is::<Usage>() { USAGE } else { FAILED })
}

/// The error and its causes, less those that it already tells.
fn chain(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

/// What the parser of the command line says: help goes to stdout, an error becomes one line.
pub fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nobody reads the help: nothing to be done about it.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    say(&one_line(&error.render().to_string()));
    ExitCode::from(USAGE)
}

fn say(message: &str) {
    let message = model::text::printable(message.replace('\n', " ").as_bytes());
    // With stderr closed there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "amphipod: {message}");
}

/// The message and its tips, without usage.
fn one_line(rendered: &str) -> String {
    // Without a command the whole help is rendered.
    if !rendered.starts_with("error:") {
        return "no command given; see amphipod --help".to_owned();
    }
    let mut parts = Vec::new();
    for paragraph in rendered.split("\n\n") {
        let text = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(tip) = text.strip_prefix("tip: ") {
            parts.push(tip.to_owned());
        } else if let Some(what) = text.strip_prefix("error: ") {
            parts.push(what.to_owned());
        } else if let Some(usage) = text.strip_prefix("Usage: ") {
            let command: Vec<_> = usage
                .split(' ')
                .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
                .collect();
            parts.push(format!("see {} --help", command.join(" ")));
        }
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[track_caller]
    fn check(args: &[&str], expected: &str) {
        let error =
            crate::Cli::command().try_get_matches_from([&["amphipod"], args].concat()).unwrap_err();
        assert_eq!(super::one_line(&error.render().to_string()), expected);
    }

    #[test]
    fn causes_are_told_once() {
        let cause = || std::io::Error::other("disk full");
        let told = anyhow::Error::new(cause()).context("file x: disk full; make room");
        assert_eq!(super::chain(&told), "file x: disk full; make room");
        let untold = anyhow::Error::new(cause()).context("file x");
        assert_eq!(super::chain(&untold), "file x: disk full");
    }

    #[test]
    fn a_wrong_command_line_is_one_line() {
        check(&[], "no command given; see amphipod --help");
        check(
            &["observe", "--from-pood", "x"],
            "unexpected argument '--from-pood' found; a similar argument exists: '--from-pod'; see amphipod observe --help",
        );
        check(
            &["observ"],
            "unrecognized subcommand 'observ'; a similar subcommand exists: 'observe'; see amphipod --help",
        );
        check(
            &["observe", "-o", "xml"],
            "invalid value 'xml' for '--output <FORMAT>' [possible values: compact, json, dict, table]",
        );
        check(
            &["completions"],
            "the following required arguments were not provided: <SHELL>; see amphipod completions --help",
        );
    }
}
