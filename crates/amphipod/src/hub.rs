//! `amphipod hub`.

use std::path::PathBuf;

use ::hub::config::Error;
use ::hub::{App, Config};
use anyhow::anyhow;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use crate::agent::stop_on_signal;
use crate::failure::Usage;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  amphipod hub --kubeconfig ~/.kube/config                 for agents on this host
  amphipod hub --config hub.toml                           in a cluster, with certificates")]
pub struct Args {
    /// Read this TOML file; the flags override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve the pages, /api/v1, /metrics, /healthz and /readyz here; `off`: nowhere [default: 127.0.0.1:7171]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The API server's kubeconfig [default: KUBECONFIG, ~/.kube/config or the pod's service account]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Its context [default: the current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Tell every agent of everything, to measure what that costs
    #[arg(long, hide = true)]
    broadcast: bool,
}

/// HTTP/2 has a buffer of 16 KB and one of 8 KB for each connection, of which an agent that is told little uses the first
/// page.
const MAPPED_BYTES: u32 = 8 << 10;

pub fn run(args: Args) -> anyhow::Result<()> {
    let config = configure(args)?;
    probes::share_heap(MAPPED_BYTES);
    let cancel = CancellationToken::new();
    stop_on_signal(cancel.clone())?;
    raise_files();
    App::start(config)?.run_until(cancel)?;
    Ok(())
}

/// Each agent takes a descriptor, and the usual limit is 1,024.
fn raise_files() {
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_err() {
        tracing::warn!(limit = limit.current, "cannot raise the limit of open files");
    }
}

fn configure(args: Args) -> anyhow::Result<Config> {
    let path = args.config.as_deref();
    let mut config = Config::load(path).map_err(|error| match (path, &error) {
        (Some(path), Error::Syntax(_) | Error::Unknown { .. } | Error::Value { .. }) => {
            anyhow!("{}: {error}", path.display())
        }
        _ => error.into(),
    })?;
    if let Some(listen) = args.listen {
        let quoted = serde_json::Value::from(listen);
        let given = Config::parse(&format!("[hub]\nlisten = {quoted}\n"));
        config.listen = given.map_err(|error| wrong_listen(&error))?.listen;
    }
    config.kube.kubeconfig = args.kubeconfig.or(config.kube.kubeconfig);
    config.kube.context = args.context.or(config.kube.context);
    config.inventory.broadcast = args.broadcast;
    Ok(config)
}

fn wrong_listen(error: &Error) -> Usage {
    match error {
        Error::Value { value, expected, .. } => {
            Usage(format!("--listen {value}: expected {expected}"))
        }
        other => Usage(format!("--listen: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Args {
        Args { config: None, listen: None, kubeconfig: None, context: None, broadcast: false }
    }

    #[test]
    fn flags_override_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text =
            "[hub]\nlisten = \"127.0.0.1:1\"\n[kube]\nkubeconfig = \"/a\"\ncontext = \"x\"\n";
        std::fs::write(file.path(), text).unwrap();
        let with_file = || Args { config: Some(file.path().into()), ..args() };
        let config = configure(with_file()).unwrap();
        assert_eq!(
            (config.kube.kubeconfig, config.kube.context),
            (Some("/a".into()), Some("x".into()))
        );
        let given =
            Args { listen: Some("off".into()), kubeconfig: Some("b".into()), ..with_file() };
        let config = configure(given).unwrap();
        assert_eq!((config.listen, config.kube.kubeconfig), (None, Some("b".into())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = configure(Args { listen: Some("7171".into()), ..args() }).unwrap_err();
        assert!(error.is::<Usage>());
        assert!(
            error.to_string().starts_with("--listen \"7171\": expected an IP address"),
            "{error}"
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[hub]\nlistn = \"off\"\n").unwrap();
        let error = configure(Args { config: Some(file.path().into()), ..args() }).unwrap_err();
        let expected = "configuration: unknown key `hub.listn`; did you mean `hub.listen`?";
        assert_eq!(error.to_string(), format!("{}: {expected}", file.path().display()));
    }
}
