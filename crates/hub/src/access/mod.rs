//! Who asks, and what they may see.
//!
//! Somebody shows a bearer token (each request), or signs in (with such a token, or with an OpenID provider) and has a
//! sealed cookie from then on. The API server says whose pods they may list: that is whose traffic they see.

mod cookie;
mod gate;
mod oidc;
mod page;
mod seal;
mod sign_in;
mod verdicts;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, StatusCode, header};
use daemon::http::{Fetch, Problem, Speech};
use hashbrown::HashMap;
use model::Scope;
use reflector::{Resolver, User};
use serde::{Deserialize, Serialize};

use crate::{Config, Error, Inventory, kube};
use cookie::Jar;
use oidc::Provider;
use seal::Seal;
use verdicts::Verdicts;

pub use gate::guard;
pub use sign_in::routes;

/// Sessions that somebody ended, until they would have ended by themselves.
const ENDED: usize = 10_000;
const SESSION: &str = "amphipod";

/// The hub's doors.
pub struct Access {
    /// `None`: everybody may see everything.
    doors: Option<Doors>,
    inventory: Arc<Inventory>,
    /// Whom nobody stops is at least on this host: no page of a website may ask in somebody's name.
    local_only: bool,
    /// Browsers speak TLS with the hub, or with what is in front of it.
    secure: bool,
    origin: Option<String>,
    pub counters: Counters,
}

/// Requests by what became of them at the door.
#[derive(Debug, Default)]
pub struct Counters {
    pub allowed: AtomicU64,
    /// Nobody, or with something that is not accepted.
    pub refused: AtomicU64,
    /// It could not be found out.
    pub unavailable: AtomicU64,
    /// Sessions that were ended, and had to be forgotten before their time for want of room.
    pub forgotten: AtomicU64,
}

struct Doors {
    verdicts: Verdicts,
    provider: Option<Provider>,
    seal: Seal,
    jar: Jar,
    session_s: u64,
    /// By id, until when.
    ended: Mutex<HashMap<String, u64>>,
}

/// Who asks, for those who answer.
pub struct Asker(pub Arc<Person>);

/// Who asks.
#[derive(Clone, Debug)]
pub struct Person {
    /// `None` where nobody has to be anybody.
    pub user: Option<User>,
    pub scope: Scope,
}

impl Person {
    /// # Errors
    /// This namespace may not be seen. That it exists is not said.
    pub fn must_see(&self, namespace: &str) -> Result<(), Problem> {
        // What is in none is seen as far as it has to do with what may be seen.
        if namespace.is_empty() || self.scope.has(namespace) {
            return Ok(());
        }
        let namespace = model::text::printable(namespace.as_bytes());
        let detail =
            format!("namespace {namespace}: you may not see it; who may list pods there does");
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }
}

/// Why somebody does not come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// They show nothing.
    Nobody,
    Wrong(String),
    Unavailable(String),
}

/// What a cookie holds.
#[derive(Debug, Serialize, Deserialize)]
struct Session {
    id: String,
    until_s: u64,
    who: Who,
}

#[derive(Debug, Serialize, Deserialize)]
enum Who {
    /// The API server is asked about it again and again: it may be revoked.
    Token(String),
    User(User),
}

impl Access {
    /// # Errors
    /// A file cannot be used; or everybody could ask beyond this host, and nobody has allowed that.
    pub fn new(config: &Config, inventory: Arc<Inventory>) -> Result<Self, Error> {
        let access = &config.access;
        let far = config.listen.filter(|address| !address.ip().is_loopback());
        let secure = config.tls.is_some() || access.is_behind_tls();
        match far {
            Some(address) if access.is_open() && !config.open_api => {
                return Err(Error::Open { address });
            }
            Some(address) if !access.is_open() && !secure => return Err(Error::Plain { address }),
            _ => {}
        }
        let doors = match access.is_open() {
            true => None,
            false => Some(Doors::new(config)?),
        };
        Ok(Self {
            doors,
            inventory,
            local_only: far.is_none(),
            secure,
            origin: access.origin.clone(),
            counters: Counters::default(),
        })
    }

    /// What to follow: files of authorities.
    pub fn fetch(&self) -> Option<&Fetch> {
        self.doors.as_ref()?.provider.as_ref().map(Provider::fetch)
    }

    /// # Errors
    /// Why they do not come in.
    pub async fn person(&self, headers: &HeaderMap) -> Result<Person, Refused> {
        let Some(doors) = &self.doors else { return Ok(Person { user: None, scope: Scope::All }) };
        let user = doors.user(headers).await?;
        let scope = doors.verdicts.scope(&user, &self.inventory).await?;
        Ok(Person { user: Some(user), scope })
    }
}

impl Doors {
    fn new(config: &Config) -> Result<Self, Error> {
        let access = &config.access;
        let provider = match (&access.oidc, &access.origin) {
            (Some(oidc), Some(origin)) => {
                let fetch = Fetch::new(
                    oidc.ca.as_deref(),
                    None,
                    Speech::Http1,
                    Resolver::default().function(),
                )?;
                Some(Provider::new(oidc.clone(), origin, fetch))
            }
            _ => None,
        };
        Ok(Self {
            verdicts: Verdicts::new(kube::access(&config.kube), access),
            provider,
            seal: Seal::new(access.session_key.as_deref())?,
            jar: Jar::new(config.tls.is_some() || access.is_behind_tls()),
            session_s: access.session.as_secs(),
            ended: Mutex::default(),
        })
    }

    async fn user(&self, headers: &HeaderMap) -> Result<User, Refused> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let token = value.to_str().ok().and_then(|it| {
                let (scheme, token) = it.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
            });
            let token = token.ok_or_else(|| Refused::Wrong("expected a bearer token".into()))?;
            return self.verdicts.user(token).await;
        }
        match self.session(headers).ok_or(Refused::Nobody)?.who {
            Who::Token(token) => self.verdicts.user(&token).await,
            Who::User(user) => Ok(user),
        }
    }

    /// One that holds.
    fn session(&self, headers: &HeaderMap) -> Option<Session> {
        let session: Session = self.seal.open(SESSION, self.jar.get(headers, SESSION)?)?;
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        (session.until_s > now_s() && !ended.contains_key(&session.id)).then_some(session)
    }

    /// The cookie of somebody who has signed in just now.
    ///
    /// # Errors
    /// Too much is known of them.
    fn begin(&self, who: Who, until_s: Option<u64>) -> Result<String, String> {
        let latest_s = now_s() + self.session_s;
        let until_s = until_s.map_or(latest_s, |it| it.min(latest_s));
        let id = self.seal.random::<16>().ok_or("the system gives no randomness")?;
        let session = Session { id, until_s, who };
        let sealed = self.seal.seal(SESSION, &session);
        let sealed = sealed.map_err(|_| "what is known of you does not fit into a cookie; let the provider tell fewer groups")?;
        Ok(self.jar.set(SESSION, &sealed, until_s.saturating_sub(now_s())))
    }

    fn end(&self, headers: &HeaderMap, counters: &Counters) {
        let Some(session) = self.session(headers) else { return };
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() >= ENDED {
            let now_s = now_s();
            ended.retain(|_, until_s| *until_s > now_s);
        }
        if ended.len() >= ENDED
            && let Some(first) = ended.iter().min_by_key(|(_, until_s)| **until_s)
        {
            let first = first.0.clone();
            ended.remove(&first);
            counters.forgotten.fetch_add(1, Ordering::Relaxed);
        }
        ended.insert(session.id, session.until_s);
    }
}

fn now_s() -> u64 {
    model::Timestamp::now().0 / 1_000_000_000
}
