//! The list in ZooKeeper: ephemeral nodes, which go with the session of their agent.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::discovery::Entry;
use crate::discovery::kv::{Found, Keys, readable, text};
use crate::discovery::news::News;
use crate::error::{Error, Kind, Result};
use crate::store::zk::{Lives, Watch, Zk};
use crate::store::{Access, Address};

/// Nodes that are read at the same time.
const READS_AT_ONCE: usize = 16;

/// The list.
pub struct Nodes {
    client: Zk,
    keys: Keys,
}

impl Nodes {
    /// `ttl` is the session's time: the server has bounds for it (2 and 20 of its ticks, so 4 to 40 s as it comes).
    pub(super) fn new(address: &Address, access: &Access, keys: Keys, ttl: Duration) -> Nodes {
        Nodes { client: Zk::new(address, access, ttl), keys }
    }

    pub(super) async fn find(&self) -> Result<Found> {
        let (names, watch) = self.names().await?;
        let read =
            |name: String| async move { self.client.get(&format!("{}/{name}", self.keys.nodes)).await };
        let found: Vec<_> = stream::iter(names).map(read).buffered(READS_AT_ONCE).try_collect().await?;
        let values = found.into_iter().flatten().map(|node| text(&node.value)).collect();
        // After the list: a store that is wiped in between then shows as one without a mark.
        let mark = readable(self.marked().await)?;
        Ok(Found { values, mark, news: self.news(watch) })
    }

    /// The nodes, and what ends when one comes or goes; also where there is no directory yet.
    async fn names(&self) -> Result<(Vec<String>, Watch)> {
        let directory = &self.keys.nodes;
        if let Some(listed) = self.client.watch_children(directory).await? {
            return Ok(listed);
        }
        match self.client.watch(directory).await? {
            (false, watch) => Ok((Vec::new(), watch)),
            // Made in between: that watch would not tell of its children.
            (true, _) => self.client.watch_children(directory).await?.ok_or_else(|| {
                Error::store(Kind::Broken, format!("/{directory} of ZooKeeper comes and goes"))
            }),
        }
    }

    pub(super) async fn mark(&self, mark: &str) -> Result<Option<String>> {
        let Some(key) = &self.keys.mark else { return Ok(None) };
        match self.client.create(key, mark.as_bytes(), Lives::Forever).await? {
            Some(_) => Ok(Some(mark.to_string())),
            None => self.marked().await,
        }
    }

    async fn marked(&self) -> Result<Option<String>> {
        let Some(key) = &self.keys.mark else { return Ok(None) };
        Ok(self.client.get(key).await?.map(|node| text(&node.value)))
    }

    /// A node of another session, such as that of an agent before us, would go with that session: it is replaced.
    pub(super) async fn register(&self, entry: &Entry) -> Result<News> {
        let (key, value) = (self.keys.of(entry), entry.to_string());
        let (_, watch) = self.client.watch(&key).await?;
        let (session, _) = self.client.session().await?;
        let watch = match self.client.get(&key).await? {
            Some(node) if node.owner == session && node.value == value.as_bytes() => watch,
            there => {
                match there {
                    Some(_) => self.client.replace(&key, value.as_bytes()).await?,
                    None => drop(self.client.create(&key, value.as_bytes(), Lives::WithSession).await?),
                }
                self.client.watch(&key).await?.1
            }
        };
        Ok(self.news(watch))
    }

    /// A broken connection is news, too: a store that was wiped takes no session from before, and we would learn of
    /// that only when ours has run out.
    fn news(&self, watch: Watch) -> News {
        let client = self.client.clone();
        Box::pin(async move {
            tokio::select! {
                changed = watch.changed() => changed,
                broken = client.disconnected() => Err(broken),
            }
        })
    }

    pub(super) async fn withdraw(&self, entry: &Entry) -> Result<()> {
        self.client.delete(&self.keys.of(entry)).await?;
        self.close().await
    }

    pub(super) async fn close(&self) -> Result<()> {
        self.client.close().await
    }
}
