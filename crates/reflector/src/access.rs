//! Where the API server is, and who asks.

use std::path::PathBuf;

use kube_client::Config;
use kube_client::config::{KubeConfigOptions, Kubeconfig};

use crate::Error;

/// Without a path: the kubeconfig that `KUBECONFIG` or the home directory names, else the pod's service account.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's current one without.
    pub context: Option<String>,
}

impl Access {
    /// Whether the file and the context that somebody named are there: they do not come by themselves. Nothing is asked of
    /// an access that is to be found.
    ///
    /// # Errors
    /// The file cannot be read, or has no such context.
    pub fn check(&self) -> Result<(), Error> {
        let (path, read) = match (&self.kubeconfig, &self.context) {
            (None, None) => return Ok(()),
            (Some(path), _) => (path.clone(), Kubeconfig::read_from(path)),
            (None, Some(_)) => (usual(), Kubeconfig::read()),
        };
        let failed = |reason: String| Error::Kubeconfig { path: path.clone(), reason };
        let kubeconfig = read.map_err(|error| failed(chain(&error)))?;
        match self.context.as_ref().or(kubeconfig.current_context.as_ref()) {
            Some(context) if kubeconfig.contexts.iter().all(|it| it.name != *context) => {
                Err(failed(format!("no context {context:?}")))
            }
            Some(_) => Ok(()),
            None => Err(failed("no current context".to_owned())),
        }
    }

    pub(crate) async fn config(&self) -> Result<Config, Error> {
        let options = KubeConfigOptions { context: self.context.clone(), ..<_>::default() };
        let Some(path) = &self.kubeconfig else { return self.found(&options).await };
        let failed = |reason: String| Error::Kubeconfig { path: path.clone(), reason };
        let kubeconfig = Kubeconfig::read_from(path).map_err(|error| failed(chain(&error)))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        config.map_err(|error| failed(chain(&error)))
    }

    async fn found(&self, options: &KubeConfigOptions) -> Result<Config, Error> {
        let kubeconfig = match Config::from_kubeconfig(options).await {
            Ok(config) => return Ok(config),
            Err(error) => chain(&error),
        };
        if self.context.is_some() {
            return Err(Error::Kubeconfig { path: usual(), reason: kubeconfig });
        }
        Config::incluster_env()
            .map_err(|error| Error::Nowhere { kubeconfig, in_cluster: chain(&error) })
    }
}

/// Where a kubeconfig is that nobody named.
fn usual() -> PathBuf {
    std::env::var_os("KUBECONFIG").unwrap_or_else(|| "~/.kube/config".into()).into()
}

/// An error with its causes, on one line; causes that the text before them has already are left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    crate::refusal::line(text.as_bytes())
}
