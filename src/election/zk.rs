//! The lease in ZooKeeper: candidates stand in line as numbered nodes below the leader's key, each as long as its
//! session lives, and the first in line leads. So does the old tool, and either stands in line with the other.
//!
//! Two things are done otherwise. The session lasts `replication-ttl`, not always 10 s (the server has bounds: 2
//! to 20 of its ticks). And the old tool never noticed that its session had ended: here each renewal reads our own
//! node, and the lease counts from before that was asked.

use std::pin::Pin;
use std::time::Duration;

use crate::election::runner::{Attempt, Lock};
use crate::error::{Error, Kind, Result};
use crate::store::zk::{Lives, Watch, Zk};

/// What the old tool's nodes have in front of their number.
const IN_LINE: &str = "-lock-";
/// The shortest session of a server with usual ticks, as long as ours has not told.
const USUAL: Duration = Duration::from_secs(4);

/// One candidate in line.
pub struct ZkLock {
    zk: Zk,
    key: String,
    me: String,
    place: Option<Place>,
    /// How our node's name begins in the session of this number. Kept from before the node is made, so that one that
    /// was asked for by a call that was dropped is known again.
    asked: Option<(i64, String)>,
    /// How long the server lets a session live.
    lease: Duration,
    /// What may have changed since the last look.
    news: Option<News>,
}

type News = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Our node.
struct Place {
    /// Below the key.
    name: String,
    /// The session that it lives with.
    session: i64,
    /// The transaction that made it.
    term: u64,
}

impl ZkLock {
    /// A candidate that can be reached at `me`, for `key`; the sessions of `zk` last as long as the lease.
    pub fn new(zk: Zk, key: String, me: String) -> ZkLock {
        ZkLock { zk, key, me, place: None, asked: None, lease: USUAL, news: None }
    }

    /// Takes a place in line, unless we have one.
    async fn stand_in_line(&mut self, session: i64) -> Result<()> {
        if self.place.as_ref().is_some_and(|place| place.session == session) {
            return Ok(());
        }
        self.place = None;
        let begins = match self.asked.take() {
            Some((of, begins)) if of == session => begins,
            _ => format!("_c_{:016x}{:016x}{IN_LINE}", fastrand::u64(..), fastrand::u64(..)),
        };
        self.asked = Some((session, begins.clone()));
        let line = self.zk.children(&self.key).await?;
        let name = match line.into_iter().find(|name| name.starts_with(&begins)) {
            Some(name) => name,
            None => self.enter(&begins).await?,
        };
        let made = format!("{}/{name}", self.key);
        let node = self.zk.get(&made).await?.filter(|node| node.owner == session);
        // The connection may have been made anew in between.
        let node = node.ok_or_else(|| Error::store(Kind::Broken, "the session at ZooKeeper has ended"))?;
        self.place = Some(Place { name, session, term: u64::try_from(node.created).unwrap_or(0) });
        Ok(())
    }

    /// Makes our node; returns its name.
    async fn enter(&mut self, begins: &str) -> Result<String> {
        let path = format!("{}/{begins}", self.key);
        let made = self.zk.create(&path, b"", Lives::Numbered).await?.unwrap_or_default();
        Ok(made.rsplit('/').next().unwrap_or_default().to_string())
    }

    /// Whether our node, of that session, leads the line.
    async fn is_first(&mut self, name: &str, held_by: i64) -> Result<bool> {
        let (session, _) = self.zk.session().await?;
        if session != held_by {
            return Ok(false);
        }
        Ok(self.first().await?.is_some_and(|first| first == name))
    }

    async fn leader(&mut self) -> Result<Option<String>> {
        let node = self.zk.get(&self.key).await?;
        Ok(node.map(|n| String::from_utf8_lossy(&n.value).into_owned()).filter(|address| !address.is_empty()))
    }

    /// The first in line. What comes and goes there, or is written into the key, is news from now on.
    async fn first(&mut self) -> Result<Option<String>> {
        let (_, address) = self.zk.watch(&self.key).await?;
        let line = self.zk.watch_children(&self.key).await?;
        let (names, line) = line.map_or((Vec::new(), None), |(names, watch)| (names, Some(watch)));
        self.news = Some(Box::pin(either(address, line)));
        Ok(first_of(names))
    }
}

/// The name with the least number.
fn first_of(names: Vec<String>) -> Option<String> {
    let number = |name: &String| name.rsplit_once('-').and_then(|(_, number)| number.parse::<u64>().ok());
    let in_line = names.into_iter().filter(|name| name.contains("lock-"));
    in_line.filter_map(|name| Some((number(&name)?, name))).min().map(|(_, name)| name)
}

async fn either(address: Watch, line: Option<Watch>) -> Result<()> {
    match line {
        None => address.changed().await,
        Some(line) => tokio::select! {
            told = address.changed() => told,
            told = line.changed() => told,
        },
    }
}

impl Lock for ZkLock {
    async fn acquire(&mut self, take: bool) -> Result<Attempt> {
        let (session, ttl) = self.zk.session().await?;
        self.lease = ttl;
        if take {
            self.stand_in_line(session).await?;
        }
        let first = self.first().await?;
        match &self.place {
            Some(place) if take && first.as_ref() == Some(&place.name) => {
                let term = place.term;
                // Only now: whoever still leads in its own eyes has written it before.
                self.zk.set(&self.key, self.me.as_bytes()).await?;
                Ok(Attempt::Won { term, ttl })
            }
            _ if first.is_none() => Ok(Attempt::Lost { leader: None }),
            _ => Ok(Attempt::Lost { leader: self.leader().await? }),
        }
    }

    async fn renew(&mut self) -> Result<bool> {
        let Some((name, held_by)) = self.place.as_ref().map(|p| (p.name.clone(), p.session)) else {
            return Ok(false);
        };
        match self.is_first(&name, held_by).await {
            // Who gives up the session gives up the place: others are told at once, and do not wait for us.
            Err(error) if !self.zk.holds(held_by).await => {
                tracing::warn!(KIND = error.kind.word(), "Leader Election: {error}");
                Ok(false)
            }
            looked => looked,
        }
    }

    async fn release(&mut self) -> Result<()> {
        (self.place, self.asked, self.news) = (None, None, None);
        self.zk.close().await
    }

    fn lease(&self) -> Duration {
        self.lease
    }

    async fn changed(&mut self) -> Result<()> {
        match &mut self.news {
            Some(news) => {
                let told = news.await;
                self.news = None;
                told
            }
            // Heard already, or never asked: the next look is due by itself.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
#[path = "zk_tests.rs"]
mod tests;
