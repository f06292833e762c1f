//! The list in etcd, which is two stores: the one that API v3 shows, and the one of API v2, where old agents and
//! managers are. A server may have either or both. Engines register in all that are there, and a list is
//! the union; so old and new mix where the server still has API v2.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::select;

use crate::discovery::Entry;
use crate::discovery::kv::{Found, Keys, readable, text};
use crate::discovery::news::{self, News};
use crate::error::{Error, Kind, Result};
use crate::store::etcd::{Etcd, Keys as Range, Lease};
use crate::store::etcd_v2::{EtcdV2, If};
use crate::store::{Access, Address};

/// The list, and the lease of an engine that is on it through us.
pub struct Nodes {
    v3: Etcd,
    v2: EtcdV2,
    keys: Keys,
    shown: String,
    held: Mutex<Held>,
}

#[derive(Clone, Copy, Default)]
struct Held {
    /// What the server has, once that is known. Forgotten at each failure: it may come back as another one.
    apis: Option<Apis>,
    lease: Option<Lease>,
}

#[derive(Clone, Copy)]
struct Apis {
    v3: bool,
    v2: bool,
}

impl Nodes {
    pub(super) fn new(address: &Address, access: &Access, keys: Keys) -> Nodes {
        let (v3, v2) = (Etcd::new(address, access), EtcdV2::new(address, access));
        Nodes { v3, v2, keys, shown: address.shown(), held: Mutex::default() }
    }

    pub(super) async fn find(&self) -> Result<Found> {
        let found = self.find_in(self.apis().await?).await;
        self.checked(found)
    }

    async fn find_in(&self, apis: Apis) -> Result<Found> {
        let (mut values, mut news) = (Vec::new(), news::none());
        if apis.v3 {
            let below = format!("{}/", self.keys.nodes);
            let seen = self.v3.list(Range::Prefix(&below)).await?;
            values.extend(seen.value.iter().map(|pair| text(&pair.value)));
            let v3 = self.v3.clone();
            news = Box::pin(async move { v3.changed(Range::Prefix(&below), seen.revision).await });
        }
        if apis.v2 {
            let seen = self.v2.list(&self.keys.nodes).await?;
            values.extend(seen.value.into_iter().filter_map(|node| node.value));
            let (v2, nodes) = (self.v2.clone(), self.keys.nodes.clone());
            news = either(news, Box::pin(async move { v2.changed(&nodes, seen.index).await }));
        }
        // After the list: a store that is wiped in between then shows as one without a mark.
        let mark = readable(self.marked(apis).await)?;
        Ok(Found { values, mark, news })
    }

    pub(super) async fn mark(&self, mark: &str) -> Result<Option<String>> {
        match (&self.keys.mark, self.apis().await?.v3) {
            (Some(key), true) => {
                let seen = self.v3.create(key, mark.as_bytes(), None).await;
                Ok(Some(text(&self.checked(seen)?.value.value)))
            }
            _ => Ok(None),
        }
    }

    async fn marked(&self, apis: Apis) -> Result<Option<String>> {
        match &self.keys.mark {
            Some(key) if apis.v3 => {
                let seen = self.v3.get(key).await?;
                Ok(seen.value.map(|pair| text(&pair.value)))
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn register(&self, entry: &Entry, ttl: Duration) -> Result<News> {
        let registered = self.register_in(self.apis().await?, entry, ttl).await;
        self.checked(registered)
    }

    async fn register_in(&self, apis: Apis, entry: &Entry, ttl: Duration) -> Result<News> {
        let (key, value) = (self.keys.of(entry), entry.to_string());
        let mut news = news::none();
        if apis.v3 {
            let revision = self.bind(&key, &value, ttl).await?;
            news = Box::pin(until_gone(self.v3.clone(), key.clone(), revision));
        }
        if apis.v2 {
            let index = self.v2.put(&key, &value, ttl, If::Any).await?.unwrap_or_default();
            news = either(news, Box::pin(until_gone_v2(self.v2.clone(), key, index)));
        }
        Ok(news)
    }

    /// Renews our lease, or takes a new one, and sees to it that the key is bound to it. Returns the revision.
    async fn bind(&self, key: &str, value: &str, ttl: Duration) -> Result<i64> {
        let lease = match self.held().lease {
            Some(lease) if self.v3.keep_alive(lease).await?.is_some() => lease,
            _ => self.v3.grant(ttl).await?.0,
        };
        self.change(|held| held.lease = Some(lease));
        let seen = self.v3.get(key).await?;
        match seen.value.is_some_and(|pair| pair.lease == lease && pair.value == value.as_bytes()) {
            true => Ok(seen.revision),
            false => self.v3.put(key, value.as_bytes(), Some(lease)).await,
        }
    }

    pub(super) async fn withdraw(&self, entry: &Entry) -> Result<()> {
        let apis = self.apis().await?;
        let key = self.keys.of(entry);
        let lease = self.held().lease;
        self.change(|held| held.lease = None);
        if apis.v3 {
            self.v3.delete(&key).await?;
            if let Some(lease) = lease {
                self.v3.revoke(lease).await?;
            }
        }
        if apis.v2 {
            self.v2.delete(&key, If::Any).await?;
        }
        Ok(())
    }

    /// What the server has.
    async fn apis(&self) -> Result<Apis> {
        if let Some(apis) = self.held().apis {
            return Ok(apis);
        }
        let v3 = match self.v3.get(&self.keys.nodes).await {
            Err(error) if Etcd::lacks_gateway(&error) => false,
            Err(error) if error.kind != Kind::Permission => return Err(error),
            _ => true,
        };
        let apis = Apis { v3, v2: self.v2.is_there().await? };
        if !(apis.v3 || apis.v2) {
            let text = format!("{} has neither the JSON gateway of API v3 nor API v2", self.shown);
            return Err(Error::store(Kind::Unsupported, text).advise(
                "swarmd needs etcd 3.4 or newer with --enable-grpc-gateway, or an older one with API v2",
            ));
        }
        tracing::debug!(v3 = apis.v3, v2 = apis.v2, "{} is there", self.shown);
        self.change(|held| held.apis = Some(apis));
        Ok(apis)
    }

    fn checked<T>(&self, outcome: Result<T>) -> Result<T> {
        if outcome.is_err() {
            self.change(|held| held.apis = None);
        }
        outcome
    }

    fn held(&self) -> Held {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn either(one: News, other: News) -> News {
    Box::pin(async move { select(one, other).await.factor_first().0 })
}

async fn until_gone(client: Etcd, key: String, mut revision: i64) -> Result<()> {
    loop {
        client.changed(Range::One(&key), revision).await?;
        let seen = client.get(&key).await?;
        if seen.value.is_none() {
            return Ok(());
        }
        revision = seen.revision;
    }
}

async fn until_gone_v2(client: EtcdV2, key: String, mut index: u64) -> Result<()> {
    loop {
        client.changed(&key, index).await?;
        let seen = client.get(&key).await?;
        if seen.value.is_none() {
            return Ok(());
        }
        index = seen.index;
    }
}
