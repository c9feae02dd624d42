//! `amphipod agent`.

use std::path::{Path, PathBuf};

use ::agent::config::{Error, Mode, Source};
use ::agent::{App, Config};
use anyhow::{Context, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::Usage;

#[derive(clap::Args)]
pub struct Args {
    /// Read this TOML file; the flags override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve /metrics, /healthz, /readyz and /api/v1/status here; `off`: nowhere [default: 127.0.0.1:7172]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Serve the local command line here [default: /run/amphipod/agent.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// Name of this node [default: NODE_NAME, else the host's name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Without Kubernetes: name cgroups, containers and systemd units instead of pods
    #[arg(long)]
    standalone: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let config = configure(args)?;
    if config.mode == Mode::Kubernetes && config.metadata.source == Source::None {
        tracing::warn!(
            "no source of pod names (metadata.source): pods are named by the uid in their cgroup's path; \
             on a host without Kubernetes use --standalone"
        );
    }
    let cancel = CancellationToken::new();
    stop_on_signal(cancel.clone())?;
    App::start(config, None)?.run_until(cancel)?;
    Ok(())
}

fn configure(args: Args) -> anyhow::Result<Config> {
    let mut config = load(args.config.as_deref())?;
    if let Some(listen) = args.listen {
        config.listen = checked("listen", &listen)?.listen;
    }
    if let Some(socket) = args.socket {
        config.socket = checked("socket", &socket)?.socket;
    }
    if let Some(node) = args.node {
        config.node = checked("node", &node)?.node;
    }
    if args.standalone {
        config.mode = Mode::Standalone;
    }
    Ok(config)
}

/// The error names the file, whatever is wrong with it.
fn load(path: Option<&Path>) -> anyhow::Result<Config> {
    Config::load(path).map_err(|error| match (path, &error) {
        (Some(path), Error::Syntax(_) | Error::Unknown { .. } | Error::Value { .. }) => {
            anyhow!("{}: {error}", path.display())
        }
        _ => error.into(),
    })
}

/// A flag's value has the same rules as the key of the same name in the file.
fn checked(key: &str, value: &str) -> Result<Config, Usage> {
    let quoted = serde_json::Value::from(value);
    Config::parse(&format!("[agent]\n{key} = {quoted}\n"), None).map_err(|error| match error {
        Error::Value { value, expected, .. } => {
            Usage(format!("--{key} {value}: expected {expected}"))
        }
        other => Usage(format!("--{key}: {other}")),
    })
}

/// Cancels `cancel` on SIGINT, SIGTERM and SIGHUP. The thread lives as long as the process.
pub fn stop_on_signal(cancel: CancellationToken) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot watch for signals")?;
    let _guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
    drop(_guard);
    let wait = move || {
        runtime.block_on(async {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                _ = hangup.recv() => "SIGHUP",
            };
            tracing::info!(signal = name, "stopping");
            cancel.cancel();
        });
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .context("cannot watch for signals")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Args {
        Args { config: None, listen: None, socket: None, node: None, standalone: false }
    }

    #[test]
    fn flags_override_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[agent]\nnode = \"from-file\"\nlisten = \"127.0.0.1:1\"\n")
            .unwrap();
        let with_file = || Args { config: Some(file.path().into()), ..args() };
        let config = configure(with_file()).unwrap();
        assert_eq!((&*config.node, config.mode), ("from-file", Mode::Kubernetes));
        let config = configure(Args {
            listen: Some("off".to_owned()),
            socket: Some("/tmp/x.sock".to_owned()),
            node: Some("from-flag".to_owned()),
            standalone: true,
            ..with_file()
        })
        .unwrap();
        assert_eq!((&*config.node, config.mode), ("from-flag", Mode::Standalone));
        assert_eq!((config.listen, config.socket), (None, PathBuf::from("/tmp/x.sock")));
    }

    #[test]
    fn a_wrong_file_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[agent]\nlistenn = \"off\"\n").unwrap();
        let expected = format!(
            "{}: configuration: unknown key `agent.listenn`; did you mean `agent.listen`?",
            file.path().display()
        );
        check_error(Args { config: Some(file.path().into()), ..args() }, false, &expected);
    }

    #[track_caller]
    fn check_error(args: Args, usage: bool, expected: &str) {
        let error = configure(args).unwrap_err();
        assert_eq!(error.is::<Usage>(), usage);
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[test]
    fn a_wrong_flag_is_a_usage_error_and_names_the_flag() {
        check_error(
            Args { listen: Some("7172".to_owned()), ..args() },
            true,
            "--listen \"7172\": expected an IP address and port",
        );
        check_error(
            Args { socket: Some("agent.sock".to_owned()), ..args() },
            true,
            "--socket \"agent.sock\": expected an absolute path",
        );
        check_error(
            Args { node: Some("a b".to_owned()), ..args() },
            true,
            "--node \"a b\": expected at most 253",
        );
        check_error(
            Args { config: Some("/nonexistent/x.toml".into()), ..args() },
            false,
            "configuration /nonexistent/x.toml: ",
        );
    }
}
