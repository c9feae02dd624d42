//! Which node an agent is on: by its certificate, else by its service account's token.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use reflector::{Access, Client, review};
use ring::digest::{SHA256, digest};
use tokio::sync::{OnceCell, Semaphore};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::Peer;
use crate::Inventory;

/// Reviews at once: agents that all come back must not become a storm on the API server.
const REVIEWS: usize = 8;
/// How long a verdict holds: the kubelet renews tokens, which are good for an hour as a rule, well before their end.
const VERDICT_HOLDS: Duration = Duration::from_secs(300);
/// Verdicts that are kept; each token is some KB long, and only its hash is kept.
const VERDICTS: usize = 20_000;
const LONGEST_TOKEN: usize = 16 << 10;

pub struct Identify {
    /// Agents that connect over TLS must show a certificate, unless they show a token.
    pub by_certificate: bool,
    pub reviewer: Option<Reviewer>,
}

type Hash = Box<[u8]>;

/// Asks the API server whose tokens are.
pub struct Reviewer {
    access: Access,
    client: OnceCell<Client>,
    audience: String,
    turns: Semaphore,
    /// By the token's hash.
    verdicts: Mutex<HashMap<Hash, (Instant, String)>>,
}

impl Reviewer {
    pub fn new(access: Access, audience: String) -> Self {
        let (client, verdicts) = Default::default();
        Self { access, client, audience, turns: Semaphore::new(REVIEWS), verdicts }
    }

    async fn node(&self, token: &str, inventory: &Inventory) -> Result<String, Status> {
        let hash: Hash = digest(&SHA256, token.as_bytes()).as_ref().into();
        if let Some(node) = self.held(&hash) {
            return Ok(node);
        }
        // Closed by nobody.
        let _turn = self.turns.acquire().await;
        let unavailable = |error: reflector::Error| Status::unavailable(error.to_string());
        let client = self.client.get_or_try_init(|| Client::new(self.access.clone()));
        let client = client.await.map_err(unavailable)?;
        let reviewed = review(client, token, &self.audience).await.map_err(unavailable)?;
        let reviewed = reviewed.map_err(|reason| {
            Status::unauthenticated(format!("the token is not accepted: {reason}"))
        })?;
        let by_pod = || Some(inventory.node_of_pod(reviewed.pod_uid()?)?.to_string());
        let node = reviewed.node().map(str::to_owned).or_else(by_pod).ok_or_else(|| {
            Status::unauthenticated(format!(
                "the token of {} is bound to no pod: expected a projected service account's token",
                reviewed.name
            ))
        })?;
        self.hold(hash, node.clone());
        Ok(node)
    }

    fn held(&self, hash: &[u8]) -> Option<String> {
        let verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, node) = verdicts.get(hash)?;
        (since.elapsed() < VERDICT_HOLDS).then(|| node.clone())
    }

    fn hold(&self, hash: Hash, node: String) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= VERDICTS {
            verdicts.retain(|_, (since, _)| since.elapsed() < VERDICT_HOLDS);
            if verdicts.len() >= VERDICTS {
                verdicts.clear();
            }
        }
        verdicts.insert(hash, (Instant::now(), node));
    }
}

impl Identify {
    /// The node that the agent proves to be on; `None` where nothing is to be proven, because only this host can connect or
    /// the configuration says so.
    pub async fn node<T>(
        &self,
        request: &Request<T>,
        inventory: &Inventory,
    ) -> Result<Option<String>, Status> {
        if !self.by_certificate && self.reviewer.is_none() {
            return Ok(None);
        }
        let by_certificate = request.extensions().get::<Peer>().and_then(|peer| peer.node.clone());
        if by_certificate.is_some() {
            return Ok(by_certificate);
        }
        match (&self.reviewer, token(request.metadata())) {
            (Some(reviewer), Some(token)) => reviewer.node(token, inventory).await.map(Some),
            (Some(_), None) => Err(Status::unauthenticated(
                "neither a certificate that names a node nor a token: configure metadata.token or metadata.certificate",
            )),
            (None, _) => Err(Status::unauthenticated(
                "no certificate that names a node: configure metadata.certificate and metadata.key",
            )),
        }
    }
}

fn token(metadata: &MetadataMap) -> Option<&str> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let token = value.strip_prefix("Bearer ").filter(|token| token.len() <= LONGEST_TOKEN)?;
    Some(token.trim()).filter(|token| !token.is_empty())
}
