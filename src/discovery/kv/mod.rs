//! Lists in key-value stores, as the old tool keeps them: below `PREFIX/docker/swarm/nodes` one key for each engine,
//! named by its address, with its address as the value; readers go by the values.
//!
//! Beside the list stands a *mark* of our own, written by managers where it is missing: a store that was wiped
//! has another one, or none (see `roster`). The old tool does not see it.

pub mod consul;
pub mod etcd;
pub mod zk;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::discovery::news::News;
use crate::discovery::roster::Proof;
use crate::discovery::watch::Reading;
use crate::discovery::{Entry, entry};
use crate::error::{Error, Kind, Result};
use crate::store::{Access, Address, StoreKind};

/// Where the old tool has its list, below the prefix of the URL.
const NODES: &str = "docker/swarm/nodes";
/// Where our mark of that list is. Not below the list, nor a name that starts with the list's: readers of consul
/// would take it for an entry.
const MARK: &str = "docker/swarm/mark";

/// An opened list in a store.
pub enum List {
    /// `consul://`
    Consul(consul::Nodes),
    /// `etcd://`
    Etcd(etcd::Nodes),
    /// `zk://`
    Zookeeper(zk::Nodes),
}

/// The keys of one list.
#[derive(Debug, Clone)]
pub struct Keys {
    nodes: String,
    /// `None` if the list's own place leaves no room beside it.
    mark: Option<String>,
}

/// What a store holds.
struct Found {
    values: Vec<String>,
    mark: Option<String>,
    news: News,
}

impl List {
    /// The list at `address`. `options` are those of discovery; `ttl` is how long ZooKeeper is to wait for an
    /// agent that says nothing. Nothing is contacted yet.
    pub fn open(address: &Address, options: &BTreeMap<String, String>, ttl: Duration) -> Result<List> {
        let access = Access::from_options(address.kind, options)?;
        let keys = Keys::new(address, options.get("kv.path").map_or(NODES, String::as_str));
        Ok(match address.kind {
            StoreKind::Consul => List::Consul(consul::Nodes::new(address, &access, keys)?),
            StoreKind::Etcd => List::Etcd(etcd::Nodes::new(address, &access, keys)),
            StoreKind::Zookeeper => List::Zookeeper(zk::Nodes::new(address, &access, keys, ttl)),
        })
    }

    /// Reads the list, and changes nothing.
    pub async fn list(&self) -> Result<Vec<Entry>> {
        let found = self.find().await?;
        Ok(read(found.values).0)
    }

    /// Reads the list for somebody who follows it: a missing mark is written.
    pub async fn read(&self) -> Result<Reading> {
        let found = self.find().await?;
        let mark = match found.mark {
            Some(mark) => Some(mark),
            None => self.mark().await?,
        };
        let (entries, ignored) = read(found.values);
        Ok(Reading { entries, ignored, proof: Proof::Life(mark), news: found.news })
    }

    /// Registers `entry` for `ttl`, or renews it. The news come when it is gone from the store.
    pub async fn register(&self, entry: &Entry, ttl: Duration) -> Result<News> {
        match self {
            List::Consul(nodes) => nodes.register(entry, ttl).await,
            List::Etcd(nodes) => nodes.register(entry, ttl).await,
            List::Zookeeper(nodes) => nodes.register(entry).await,
        }
    }

    /// Takes `entry` off.
    pub async fn withdraw(&self, entry: &Entry) -> Result<()> {
        match self {
            List::Consul(nodes) => nodes.withdraw(entry).await,
            List::Etcd(nodes) => nodes.withdraw(entry).await,
            List::Zookeeper(nodes) => nodes.withdraw(entry).await,
        }
    }

    /// Leaves nothing open in the store. Registrations are not taken back by this, but those in ZooKeeper go.
    pub async fn close(&self) {
        if let List::Zookeeper(nodes) = self
            && let Err(error) = nodes.close().await
        {
            tracing::debug!("the session will run out by itself: {error}");
        }
    }

    async fn find(&self) -> Result<Found> {
        match self {
            List::Consul(nodes) => nodes.find().await,
            List::Etcd(nodes) => nodes.find().await,
            List::Zookeeper(nodes) => nodes.find().await,
        }
    }

    /// Writes the mark, unless another manager was faster; returns it.
    async fn mark(&self) -> Result<Option<String>> {
        let mut bytes = [0_u8; 8];
        getrandom::fill(&mut bytes).map_err(|e| Error::us(Kind::Internal, format!("no randomness: {e}")))?;
        let mark = format!("{:016x}", u64::from_ne_bytes(bytes));
        let marked = match self {
            List::Consul(nodes) => nodes.mark(&mark).await,
            List::Etcd(nodes) => nodes.mark(&mark).await,
            List::Zookeeper(nodes) => nodes.mark(&mark).await,
        };
        match marked {
            Err(error) if error.kind == Kind::Permission => {
                tracing::debug!("this manager may not write its mark into the store: {error}");
                Ok(None)
            }
            marked => marked,
        }
    }
}

impl Keys {
    fn new(address: &Address, path: &str) -> Keys {
        let nodes = address.key(path);
        let mark = address.key(&format!("{MARK}/{path}"));
        Keys { mark: Some(mark).filter(|mark| !mark.starts_with(&nodes)), nodes }
    }

    fn of(&self, entry: &Entry) -> String {
        format!("{}/{entry}", self.nodes)
    }
}

/// The entries among the values, each once; and the values that are none.
fn read(values: Vec<String>) -> (Vec<Entry>, Vec<String>) {
    // Old agents register whatever they are given.
    entry::parse_all(values.into_iter().collect::<BTreeSet<String>>())
}

/// Bytes of a value, which are an address.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// A mark that may not be read is as good as none.
fn readable(mark: Result<Option<String>>) -> Result<Option<String>> {
    match mark {
        Err(error) if error.kind == Kind::Permission => Ok(None),
        mark => mark,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_the_old_tool_has_them() {
        let address = Address::parse(StoreKind::Consul, "h/p").unwrap();
        let keys = Keys::new(&address, NODES);
        let entry = entry::parse("10.0.0.1:2375").unwrap();
        assert_eq!(keys.of(&entry), "p/docker/swarm/nodes/10.0.0.1:2375");
        assert_eq!(keys.mark.as_deref(), Some("p/docker/swarm/mark/docker/swarm/nodes"));
        let keys = Keys::new(&address, "/my/nodes/");
        assert_eq!(keys.nodes, "p/my/nodes");
        assert_eq!(Keys::new(&address, "docker/swarm").mark, None);
    }

    #[test]
    fn values_that_are_no_addresses_are_left_out_and_told() {
        let values = ["b:1", "", "a:1", ":2375", "b:1"].map(String::from).to_vec();
        let (entries, ignored) = read(values);
        let printed: Vec<String> = entries.iter().map(ToString::to_string).collect();
        assert_eq!(printed, ["a:1", "b:1"]);
        assert_eq!(ignored.len(), 1);
    }
}
