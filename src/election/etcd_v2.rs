//! The lease in etcd's old API: a key with a time to live, as the old tool has it. Servers that have this API (since
//! 3.4 only with `--enable-v2`, since 3.6 none) may have old managers on it, so there the lease is here, and
//! either sees the other.

use std::time::Duration;

use crate::election::runner::{Attempt, Lock};
use crate::error::Result;
use crate::store::etcd_v2::{EtcdV2, If};

/// One candidate for the key.
pub struct EtcdV2Lock {
    etcd: EtcdV2,
    key: String,
    me: String,
    ttl: Duration,
    /// When we wrote the key last, by the store's count.
    written: Option<u64>,
    /// Up to where we have seen.
    index: u64,
}

impl EtcdV2Lock {
    /// A candidate that can be reached at `me`, for `key`.
    pub fn new(etcd: EtcdV2, key: String, me: String, ttl: Duration) -> EtcdV2Lock {
        EtcdV2Lock { etcd, key, me, ttl, written: None, index: 0 }
    }

    /// Whether the server has this API.
    pub async fn is_there(&self) -> Result<bool> {
        self.etcd.is_there().await
    }
}

impl Lock for EtcdV2Lock {
    async fn acquire(&mut self, take: bool) -> Result<Attempt> {
        let seen = self.etcd.get(&self.key).await?;
        self.index = seen.index;
        let condition = match seen.value {
            Some(node) if self.written == Some(node.modified_index) => If::Unchanged(node.modified_index),
            Some(node) => return Ok(Attempt::Lost { leader: node.value }),
            None => If::Absent,
        };
        if !take {
            return Ok(Attempt::Lost { leader: None });
        }
        self.written = self.etcd.put(&self.key, &self.me, self.ttl, condition).await?;
        Ok(match self.written {
            Some(term) => {
                self.index = term;
                Attempt::Won { term, ttl: self.ttl }
            }
            // Somebody else was quicker; who, is learned at the next look.
            None => Attempt::Lost { leader: None },
        })
    }

    async fn renew(&mut self) -> Result<bool> {
        let Some(written) = self.written else { return Ok(false) };
        // Should the answer be lost, this is not ours any more: the next condition will not hold.
        self.written = self.etcd.put(&self.key, &self.me, self.ttl, If::Unchanged(written)).await?;
        self.index = self.written.unwrap_or(self.index);
        Ok(self.written.is_some())
    }

    async fn release(&mut self) -> Result<()> {
        if let Some(written) = self.written {
            self.etcd.delete(&self.key, If::Unchanged(written)).await?;
            self.written = None;
        }
        Ok(())
    }

    fn lease(&self) -> Duration {
        self.ttl
    }

    async fn changed(&mut self) -> Result<()> {
        self.etcd.changed(&self.key, self.index).await
    }
}
