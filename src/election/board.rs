//! One value in the store that all managers read and the primary writes.
//!
//! One attempt for each call, as everywhere below; who owns the loop is `notices`.

use std::pin::Pin;
use std::time::Duration;

use crate::error::Result;
use crate::store::consul::{Consul, Read};
use crate::store::etcd::{Etcd, Keys};
use crate::store::zk::{Lives, Zk};
use crate::store::{Access, Address, LONGEST_WAIT, StoreKind};

/// The value, and up to where it was seen.
pub struct Board {
    key: String,
    store: Store,
}

enum Store {
    Consul(Consul, u64),
    Etcd(Etcd, i64),
    Zk(Zk, Option<News>),
}

type News = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

impl Board {
    /// The value at `path`, below the prefix of `address`. Nothing is contacted yet.
    pub fn new(address: &Address, access: &Access, path: &str, session: Duration) -> Result<Board> {
        let store = match address.kind {
            StoreKind::Consul => Store::Consul(Consul::new(address, access)?, 1),
            StoreKind::Etcd => Store::Etcd(Etcd::new(address, access), 0),
            StoreKind::Zookeeper => Store::Zk(Zk::new(address, access, session), None),
        };
        Ok(Board { key: address.key(path), store })
    }

    /// Reads it; `None` if nobody ever wrote it.
    pub async fn read(&mut self) -> Result<Option<Vec<u8>>> {
        let key = &self.key;
        match &mut self.store {
            Store::Consul(consul, index) => {
                let seen = consul.get(key, Read { since: None, consistent: true }).await?;
                *index = seen.index;
                Ok(seen.value.map(|pair| pair.value))
            }
            Store::Etcd(etcd, revision) => {
                let seen = etcd.get(key).await?;
                *revision = seen.revision;
                Ok(seen.value.map(|pair| pair.value))
            }
            Store::Zk(zk, news) => {
                // Before it is read, so that nothing is missed.
                let (_, watch) = zk.watch(key).await?;
                *news = Some(Box::pin(watch.changed()));
                Ok(zk.get(key).await?.map(|node| node.value))
            }
        }
    }

    /// Writes it.
    pub async fn write(&mut self, value: &[u8]) -> Result<()> {
        let key = &self.key;
        match &mut self.store {
            Store::Consul(consul, _) => consul.put(key, value, 0).await,
            Store::Etcd(etcd, _) => etcd.put(key, value, None).await.map(drop),
            Store::Zk(zk, _) => {
                if !zk.set(key, value).await? {
                    zk.create(key, value, Lives::Forever).await?;
                }
                Ok(())
            }
        }
    }

    /// Ends when there may be something new since it was read.
    pub async fn changed(&mut self) -> Result<()> {
        let key = &self.key;
        match &mut self.store {
            Store::Consul(consul, index) => {
                let read = Read { since: Some((*index, LONGEST_WAIT)), consistent: false };
                consul.get(key, read).await.map(drop)
            }
            Store::Etcd(etcd, revision) => etcd.changed(Keys::One(key), *revision).await,
            Store::Zk(_, news) => match news {
                Some(coming) => {
                    let told = coming.await;
                    *news = None;
                    told
                }
                None => std::future::pending().await,
            },
        }
    }
}
