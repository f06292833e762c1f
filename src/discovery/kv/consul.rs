//! The list in consul: keys that are held by a session each, and go with it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::discovery::Entry;
use crate::discovery::kv::{Found, Keys, readable, text};
use crate::discovery::news::News;
use crate::error::{Error, Kind, Result};
use crate::store::consul::{Behaviour, Consul, LOCK_MARK, Pair, Read, Seen};
use crate::store::{Access, Address, LONGEST_WAIT};

/// The list, and the session of an engine that is on it through us.
pub struct Nodes {
    client: Consul,
    keys: Keys,
    session: Mutex<Option<String>>,
}

impl Nodes {
    pub(super) fn new(address: &Address, access: &Access, keys: Keys) -> Result<Nodes> {
        Ok(Nodes { client: Consul::new(address, access)?, keys, session: Mutex::default() })
    }

    pub(super) async fn find(&self) -> Result<Found> {
        let seen = self.client.list(&self.keys.nodes, Read::default()).await?;
        let below = format!("{}/", self.keys.nodes);
        let entries = seen.value.iter().filter(|pair| pair.key.starts_with(&below));
        let values = entries.map(|pair| text(&pair.value)).collect();
        // After the list: a store that is wiped in between then shows as one without a mark.
        let mark = readable(self.marked().await)?;
        let (client, nodes) = (self.client.clone(), self.keys.nodes.clone());
        let news = Box::pin(async move { client.changed(&nodes, seen.index).await });
        Ok(Found { values, mark, news })
    }

    pub(super) async fn mark(&self, mark: &str) -> Result<Option<String>> {
        let Some(key) = &self.keys.mark else { return Ok(None) };
        match self.client.create(key, mark.as_bytes()).await? {
            true => Ok(Some(mark.to_string())),
            false => self.marked().await,
        }
    }

    async fn marked(&self) -> Result<Option<String>> {
        let Some(key) = &self.keys.mark else { return Ok(None) };
        let seen = self.client.get(key, Read::default()).await?;
        Ok(seen.value.map(|pair| text(&pair.value)))
    }

    /// A session lasts half the ttl: consul may let it live for twice its time.
    pub(super) async fn register(&self, entry: &Entry, ttl: Duration) -> Result<News> {
        let (key, value) = (self.keys.of(entry), entry.to_string());
        let mut seen = self.look(&key).await?;
        // A session that holds the key already, such as that of an agent before us, is gone on with.
        let holder = seen.value.as_ref().and_then(|pair| pair.session.clone());
        let session = match self.alive(holder).await? {
            Some(session) => session,
            None => self.take(&key, value.as_bytes(), ttl).await?,
        };
        if seen.value.as_ref().is_none_or(|pair| !is_ours(pair, &value, &session)) {
            self.client.put(&key, value.as_bytes(), LOCK_MARK).await?;
            seen = self.look(&key).await?;
        }
        self.remember(Some(session));
        Ok(Box::pin(until_gone(self.client.clone(), key, seen.index)))
    }

    pub(super) async fn withdraw(&self, entry: &Entry) -> Result<()> {
        let key = self.keys.of(entry);
        let held = self.remember(None);
        self.client.delete(&key).await?;
        match held {
            Some(session) => self.client.destroy_session(&session).await,
            None => Ok(()),
        }
    }

    async fn look(&self, key: &str) -> Result<Seen<Option<Pair>>> {
        self.client.get(key, Read { consistent: true, ..Read::default() }).await
    }

    async fn alive(&self, session: Option<String>) -> Result<Option<String>> {
        match session {
            Some(session) if self.client.renew_session(&session).await? => Ok(Some(session)),
            _ => Ok(None),
        }
    }

    /// Takes the key with a session of ours.
    async fn take(&self, key: &str, value: &[u8], ttl: Duration) -> Result<String> {
        let ours = self.remember(None);
        let session = match self.alive(ours).await? {
            Some(session) => session,
            None => self.client.create_session(ttl / 2, Behaviour::Delete).await?,
        };
        // Remembered before it is needed: a failure must not leave sessions behind.
        self.remember(Some(session.clone()));
        match self.client.acquire(key, value, &session).await? {
            true => Ok(session),
            false => Err(Error::store(Kind::Conflict, format!("{key} is held by another session of consul"))),
        }
    }

    /// Keeps the session in mind; returns the one before.
    fn remember(&self, session: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.session.lock().unwrap_or_else(PoisonError::into_inner), session)
    }
}

fn is_ours(pair: &Pair, value: &str, session: &str) -> bool {
    pair.value == value.as_bytes() && pair.session.as_deref() == Some(session)
}

async fn until_gone(client: Consul, key: String, mut index: u64) -> Result<()> {
    loop {
        let read = Read { since: Some((index, LONGEST_WAIT)), consistent: false };
        let seen = client.get(&key, read).await?;
        if seen.value.is_none() {
            return Ok(());
        }
        index = seen.index;
    }
}
