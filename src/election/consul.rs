//! The lease in consul: a session that holds the leader's key, as the old tool has it, so that either reads whom the
//! other elected. Its value stays when a leader goes; only a key with a session means one.
//!
//! Two things are done otherwise. A session ends *between* its TTL and twice that after its last renewal: others
//! wait for twice, so a session gets half of `replication-ttl`; but the holder counts on once only. And no
//! health check of consul's ends a session: it would do so while the holder still counts on it.

use std::time::Duration;

use crate::election::runner::{Attempt, Lock};
use crate::error::{Kind, Result};
use crate::store::LONGEST_WAIT;
use crate::store::consul::{Behaviour, Consul, Pair, Read};

/// What a server grants at least, unless its `session_ttl_min` says less.
const SHORTEST: Duration = Duration::from_secs(10);
/// Reads that decide who leads.
const SURE: Read = Read { since: None, consistent: true };

/// One candidate for the key.
pub struct ConsulLock {
    consul: Consul,
    key: String,
    me: String,
    /// Of our sessions.
    ttl: Duration,
    session: Option<String>,
    /// Up to where we have seen.
    index: u64,
}

impl ConsulLock {
    /// A candidate that can be reached at `me`, for `key`; others are to wait for `ttl` after it dies.
    pub fn new(consul: Consul, key: String, me: String, ttl: Duration) -> ConsulLock {
        ConsulLock { consul, key, me, ttl: ttl / 2, session: None, index: 1 }
    }

    async fn look(&mut self) -> Result<Option<Pair>> {
        let seen = self.consul.get(&self.key, SURE).await?;
        self.index = seen.index;
        Ok(seen.value)
    }

    /// A session that the store has just heard of.
    async fn session(&mut self) -> Result<String> {
        if let Some(session) = self.session.clone()
            && self.consul.renew_session(&session).await?
        {
            return Ok(session);
        }
        let made = match self.consul.create_session(self.ttl, Behaviour::Release).await {
            Err(error) if error.kind == Kind::Config && self.ttl < SHORTEST => {
                tracing::warn!(
                    "Leader Election: consul refuses sessions of {:?}; taking 10 s, so that others wait up to 20 s \
                     for a manager that died (replication-ttl = \"20s\" says the same, a lower session_ttl_min on the \
                     consul servers allows less)",
                    self.ttl
                );
                self.ttl = SHORTEST;
                self.consul.create_session(self.ttl, Behaviour::Release).await?
            }
            made => made?,
        };
        Ok(self.session.insert(made).clone())
    }

    fn is_ours(&self, pair: &Pair) -> bool {
        self.session.is_some() && pair.session == self.session
    }
}

impl Lock for ConsulLock {
    async fn acquire(&mut self, take: bool) -> Result<Attempt> {
        let found = self.look().await?;
        let held = found.filter(|pair| pair.session.is_some());
        if let Some(pair) = held.as_ref().filter(|pair| !self.is_ours(pair)) {
            return Ok(Attempt::Lost { leader: Some(String::from_utf8_lossy(&pair.value).into_owned()) });
        }
        if !take {
            return Ok(Attempt::Lost { leader: None });
        }
        let session = self.session().await?;
        // Somebody else may be quicker.
        self.consul.acquire(&self.key, self.me.as_bytes(), &session).await?;
        match self.look().await? {
            Some(pair) if self.is_ours(&pair) => Ok(Attempt::Won { term: pair.modify_index, ttl: self.ttl }),
            Some(Pair { value, session: Some(_), .. }) => {
                Ok(Attempt::Lost { leader: Some(String::from_utf8_lossy(&value).into_owned()) })
            }
            _ => Ok(Attempt::Lost { leader: None }),
        }
    }

    async fn renew(&mut self) -> Result<bool> {
        let Some(session) = self.session.clone() else { return Ok(false) };
        if !self.consul.renew_session(&session).await? {
            return Ok(false);
        }
        Ok(self.look().await?.is_some_and(|pair| self.is_ours(&pair)))
    }

    async fn release(&mut self) -> Result<()> {
        if let Some(session) = self.session.clone() {
            self.consul.destroy_session(&session).await?;
            self.session = None;
        }
        Ok(())
    }

    fn lease(&self) -> Duration {
        self.ttl.max(SHORTEST)
    }

    async fn changed(&mut self) -> Result<()> {
        let read = Read { since: Some((self.index, LONGEST_WAIT)), consistent: false };
        self.index = self.consul.get(&self.key, read).await?.index;
        Ok(())
    }
}
