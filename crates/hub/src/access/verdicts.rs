//! What the API server says of people: whose their tokens are, and whose pods they may list. Its word is kept for a bounded
//! time, and for a bounded number of people.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use hashbrown::HashMap;
use model::Scope;
use reflector::{Act, Client, User};
use ring::digest::{SHA256, digest};
use tokio::sync::{OnceCell, Semaphore};

use super::Refused;
use crate::{Inventory, config};

/// Questions at once, of all people together: nobody's visit must become a storm on the API server.
const QUESTIONS: usize = 16;
/// People that are kept, and their tokens.
const KEPT: usize = 4096;
const LONGEST_TOKEN: usize = 16 << 10;
/// A token that is not accepted may be tomorrow, but not in this moment.
const REFUSAL_HOLDS: Duration = Duration::from_secs(10);
/// Who may list pods in a namespace may see who talks to whom there.
const VERB: &str = "list";
const RESOURCE: &str = "pods";

pub struct Verdicts {
    access: reflector::Access,
    client: OnceCell<Client>,
    audience: Option<String>,
    holds: Duration,
    max_namespaces: usize,
    turns: Semaphore,
    tokens: Mutex<Kept<[u8; 32], Result<User, String>>>,
    scopes: Mutex<Kept<User, Arc<OnceCell<Scope>>>>,
}

/// The newest of everybody.
struct Kept<K, V>(HashMap<K, (Instant, V)>);

impl<K: Eq + std::hash::Hash, V: Clone> Kept<K, V> {
    /// Until then it holds.
    fn get(&self, key: &K) -> Option<V> {
        let (until, value) = self.0.get(key)?;
        (*until > Instant::now()).then(|| value.clone())
    }

    fn put(&mut self, key: K, holds: Duration, value: V) {
        if self.0.len() >= KEPT {
            let now = Instant::now();
            self.0.retain(|_, (until, _)| *until > now);
        }
        // They are asked about anew.
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        self.0.insert(key, (Instant::now() + holds, value));
    }
}

impl Verdicts {
    pub fn new(access: reflector::Access, config: &config::Access) -> Self {
        Self {
            access,
            client: OnceCell::new(),
            audience: config.audience.clone(),
            holds: config.holds,
            max_namespaces: config.max_namespaces,
            turns: Semaphore::new(QUESTIONS),
            tokens: Mutex::new(Kept(HashMap::new())),
            scopes: Mutex::new(Kept(HashMap::new())),
        }
    }

    pub fn takes_tokens(&self) -> bool {
        self.audience.is_some()
    }

    async fn client(&self) -> Result<&Client, Refused> {
        let client = self.client.get_or_try_init(|| Client::new(self.access.clone())).await;
        client.map_err(|error| Refused::Unavailable(error.to_string()))
    }

    /// Whose token it is.
    pub async fn user(&self, token: &str) -> Result<User, Refused> {
        let Some(audience) = &self.audience else {
            return Err(Refused::Wrong("tokens are not taken here (access.tokens)".into()));
        };
        if token.is_empty() || token.len() > LONGEST_TOKEN {
            return Err(Refused::Wrong("it is no token".into()));
        }
        let hash = digest(&SHA256, token.as_bytes());
        let hash: [u8; 32] = hash.as_ref().try_into().unwrap_or_default();
        let kept = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(&hash);
        let verdict = match kept {
            Some(verdict) => verdict,
            None => {
                let client = self.client().await?;
                // Closed by nobody.
                let turn = self.turns.acquire().await;
                let asked = reflector::review(client, token, audience).await;
                drop(turn);
                let verdict = asked.map_err(|error| Refused::Unavailable(error.to_string()))?;
                let holds =
                    if verdict.is_ok() { self.holds } else { self.holds.min(REFUSAL_HOLDS) };
                let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                tokens.put(hash, holds, verdict.clone());
                verdict
            }
        };
        verdict.map_err(|reason| Refused::Wrong(format!("the token is not accepted: {reason}")))
    }

    /// What somebody may see. Requests that come together ask together.
    pub async fn scope(&self, user: &User, inventory: &Inventory) -> Result<Scope, Refused> {
        let cell = {
            let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
            match scopes.get(user) {
                Some(cell) => cell,
                None => {
                    let cell = Arc::new(OnceCell::new());
                    scopes.put(user.clone(), self.holds, cell.clone());
                    cell
                }
            }
        };
        cell.get_or_try_init(|| self.ask(user, inventory)).await.cloned()
    }

    async fn ask(&self, user: &User, inventory: &Inventory) -> Result<Scope, Refused> {
        let client = self.client().await?;
        if self.may(client, user, "").await? {
            return Ok(Scope::All);
        }
        if !inventory.is_complete() {
            let waiting = "the hub does not know the cluster's namespaces yet; try again soon";
            return Err(Refused::Unavailable(waiting.into()));
        }
        let mut namespaces = inventory.namespaces();
        if namespaces.len() > self.max_namespaces {
            tracing::warn!(
                namespaces = namespaces.len(),
                most = self.max_namespaces,
                user = user.name,
                "not all namespaces are asked about (access.max_namespaces)"
            );
            namespaces.truncate(self.max_namespaces);
        }
        let asked = namespaces.into_iter().map(|name| async move {
            let may = self.may(client, user, &name).await?;
            Ok::<_, Refused>(may.then_some(name))
        });
        let answered = stream::iter(asked).buffer_unordered(QUESTIONS);
        let answered: Vec<Option<Arc<str>>> = answered.try_collect().await?;
        Ok(Scope::of(answered.into_iter().flatten()))
    }

    async fn may(&self, client: &Client, user: &User, namespace: &str) -> Result<bool, Refused> {
        // Closed by nobody.
        let _turn = self.turns.acquire().await;
        let asked = reflector::may(client, user, Act { verb: VERB, resource: RESOURCE, namespace });
        asked.await.map_err(|error| Refused::Unavailable(error.to_string()))
    }
}
