//! Who is asked, and in whose words that is told.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use daemon::http::Io;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::net::UnixStream;

use super::Args;
use super::hub::Hub;
use crate::failure::Usage;

/// Until an agent's answer begins, and until it ends where it is no stream.
const AGENTS_PATIENCE: Duration = Duration::from_secs(10);
/// A hub may ask others, and let one wait for their turn.
const HUBS_PATIENCE: Duration = Duration::from_secs(30);

pub enum Peer {
    /// By its socket.
    Agent(PathBuf),
    Hub(Box<Hub>),
}

impl Peer {
    /// `variable`: what the environment has under a name. What is given on the command line counts before it.
    pub(super) fn new(
        args: &Args,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let (of_hub, value) = match &args.hub {
            Some(url) => ("--hub", Some(url.clone())),
            None if args.socket.is_some() => ("--hub", None),
            None => ("AMPHIPOD_HUB", variable("AMPHIPOD_HUB")),
        };
        let Some(url) = value else {
            let needless =
                [("--token-file", args.token_file.is_some()), ("--ca", args.ca.is_some())];
            if let Some((flag, _)) = needless.into_iter().find(|(_, given)| *given) {
                let what = format!("{flag}: only a hub is asked with it; name one: --hub URL");
                return Err(Usage(what).into());
            }
            let socket = args.socket.clone().unwrap_or_else(|| ::agent::Config::SOCKET.into());
            return Ok(Self::Agent(socket));
        };
        let token = match &args.token_file {
            Some(path) => Some(super::hub::token_from(path)?),
            None => variable("AMPHIPOD_TOKEN")
                .map(|token| super::hub::bearer(&token, "AMPHIPOD_TOKEN"))
                .transpose()?,
        };
        let hub = Hub::new(&url, of_hub, token, args.ca.as_deref())?;
        Ok(Self::Hub(Box::new(hub)))
    }

    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Agent(_) => AGENTS_PATIENCE,
            Self::Hub(_) => HUBS_PATIENCE,
        }
    }

    pub(super) async fn connect(&self) -> anyhow::Result<Box<dyn Io>> {
        match self {
            Self::Agent(socket) => match UnixStream::connect(socket).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(unreachable(socket, &error)),
            },
            Self::Hub(hub) => hub.connect().await,
        }
    }

    /// For the header `Host`.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Agent(_) => "agent",
            Self::Hub(hub) => hub.authority(),
        }
    }

    /// What stands before the API's paths.
    pub(super) fn prefix(&self) -> &str {
        match self {
            Self::Agent(_) => "",
            Self::Hub(hub) => hub.prefix(),
        }
    }

    pub(super) fn token(&self) -> Option<HeaderValue> {
        match self {
            Self::Agent(_) => None,
            Self::Hub(hub) => hub.token(),
        }
    }

    /// What to do where the answer is none of ours.
    pub fn is_it_right(&self) -> &'static str {
        match self {
            Self::Agent(_) => "is this the socket of an agent, and of this version?",
            Self::Hub(hub) => hub.is_it_right(),
        }
    }

    /// Why a request is refused, and what to do.
    pub(super) fn refusal(
        &self,
        status: StatusCode,
        said: Option<&str>,
        location: Option<&str>,
    ) -> String {
        match (self, said) {
            (Self::Hub(hub), said) => hub.refusal(status, said, location),
            (Self::Agent(_), Some(said)) => said.to_owned(),
            (Self::Agent(_), None) => {
                format!("refused with {status}; use an amphipod of the agent's version")
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(socket) => write!(f, "agent at {}", socket.display()),
            Self::Hub(hub) => write!(f, "hub at {}", hub.url()),
        }
    }
}

pub(super) fn unreachable(socket: &Path, error: &std::io::Error) -> anyhow::Error {
    let name = socket.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            anyhow!(
                "no agent at {name}; start one: amphipod agent, or name its socket: --socket, or a hub: --hub"
            )
        }
        ErrorKind::PermissionDenied => {
            anyhow!(
                "agent at {name}: permission denied; run as root, or as a member of the socket's group"
            )
        }
        _ => anyhow!("agent at {name}: {error}; name a socket: --socket"),
    }
}
