//! The `ip` command of iproute2, which speaks rtnetlink for us. Many steps in one run, because a run costs
//! more than most of its steps.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use crate::Error;

/// Runs `lines` as one `ip -batch`, within the network namespace `netns` if one is named.
///
/// # Errors
/// The first line that failed, with what `ip` said. Those before it have taken effect.
pub fn batch(netns: Option<&str>, lines: &[String]) -> Result<(), Error> {
    run(netns, lines, false)
}

/// Like [`batch`], but goes on past lines that fail: for removing what may be gone already.
pub fn batch_lenient(netns: Option<&str>, lines: &[String]) -> Result<(), Error> {
    match run(netns, lines, true) {
        Err(Error::Ip { message, .. }) => {
            tracing::debug!(%message, "ip: some lines failed");
            Ok(())
        }
        other => other,
    }
}

fn run(netns: Option<&str>, lines: &[String], force: bool) -> Result<(), Error> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("ip");
    if let Some(netns) = netns {
        command.args(["-n", netns]);
    }
    if force {
        command.arg("-force");
    }
    command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| spawn_error(lines, &e))?;
    let written = match child.stdin.take() {
        Some(mut stdin) => stdin.write_all((lines.join("\n") + "\n").as_bytes()),
        None => Ok(()),
    };
    let output = child.wait_with_output().map_err(|e| spawn_error(lines, &e))?;
    if output.status.success() {
        return written.map_err(|e| spawn_error(lines, &e));
    }
    Err(explain(netns, lines, &String::from_utf8_lossy(&output.stderr)))
}

fn spawn_error(lines: &[String], source: &io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => Error::NoIp,
        _ => Error::Ip { args: lines[0].clone(), message: source.to_string() },
    }
}

/// `ip` ends its complaint with `Command failed -:LINE`.
fn explain(netns: Option<&str>, lines: &[String], stderr: &str) -> Error {
    let line = stderr
        .lines()
        .find_map(|line| line.strip_prefix("Command failed -:"))
        .and_then(|number| number.trim().parse::<usize>().ok())
        .and_then(|number| lines.get(number.checked_sub(1)?));
    let complaint =
        stderr.lines().find(|line| !line.starts_with("Command failed")).unwrap_or("failed");
    let prefix = netns.map(|netns| format!("-n {netns} ")).unwrap_or_default();
    Error::Ip {
        args: format!("{prefix}{}", line.unwrap_or(&lines[0])),
        message: complaint.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_line() {
        let lines = ["link add a".to_owned(), "link set b up".to_owned()];
        let error = explain(Some("ns"), &lines, "Cannot find device \"b\"\nCommand failed -:2\n");
        assert_eq!(error.to_string(), "ip -n ns link set b up: Cannot find device \"b\"");
    }
}
