//! The lease in etcd's API v3: a key that is bound to a lease of etcd's own. Where the server also has API v2, the
//! lease is there instead, see `etcd_v2`.

use std::time::Duration;

use crate::election::etcd_v2::EtcdV2Lock;
use crate::election::runner::{Attempt, Lock};
use crate::error::Result;
use crate::store::etcd::{Etcd, Keys, Lease, Pair};

/// The shortest lease of a server with the usual election timeout.
const SHORTEST: Duration = Duration::from_secs(2);

/// One candidate for the key.
pub struct EtcdLock {
    etcd: Etcd,
    key: String,
    me: String,
    ttl: Duration,
    /// Kept from before the key is written, so that a call that was dropped leaves nothing behind.
    lease: Option<Lease>,
    /// Up to where we have seen.
    revision: i64,
}

impl EtcdLock {
    /// A candidate that can be reached at `me`, for `key`.
    pub fn new(etcd: Etcd, key: String, me: String, ttl: Duration) -> EtcdLock {
        EtcdLock { etcd, key, me, ttl, lease: None, revision: 0 }
    }

    async fn look(&mut self) -> Result<Option<Pair>> {
        let seen = self.etcd.get(&self.key).await?;
        self.revision = seen.revision;
        Ok(seen.value)
    }

    fn is_ours(&self, pair: &Pair) -> bool {
        self.lease == Some(pair.lease)
    }
}

impl Lock for EtcdLock {
    async fn acquire(&mut self, take: bool) -> Result<Attempt> {
        if let Some(pair) = self.look().await?.filter(|pair| !self.is_ours(pair)) {
            return Ok(Attempt::Lost { leader: leader(&pair) });
        }
        if !take {
            return Ok(Attempt::Lost { leader: None });
        }
        self.release().await?;
        let (lease, ttl) = self.etcd.grant(self.ttl).await?;
        self.lease = Some(lease);
        let created = self.etcd.create(&self.key, self.me.as_bytes(), Some(lease)).await?;
        self.revision = created.revision;
        if !self.is_ours(&created.value) {
            self.release().await?;
            return Ok(Attempt::Lost { leader: leader(&created.value) });
        }
        let term = u64::try_from(created.value.create_revision).unwrap_or(0);
        Ok(Attempt::Won { term, ttl })
    }

    async fn renew(&mut self) -> Result<bool> {
        let Some(lease) = self.lease else { return Ok(false) };
        if self.etcd.keep_alive(lease).await?.is_none() {
            return Ok(false);
        }
        Ok(self.look().await?.is_some_and(|pair| self.is_ours(&pair)))
    }

    async fn release(&mut self) -> Result<()> {
        if let Some(lease) = self.lease {
            self.etcd.revoke(lease).await?;
            self.lease = None;
        }
        Ok(())
    }

    fn lease(&self) -> Duration {
        SHORTEST
    }

    async fn changed(&mut self) -> Result<()> {
        self.etcd.changed(Keys::One(&self.key), self.revision).await
    }
}

/// One candidate, in whichever API the server has. All managers must find the same: a server that was restarted with
/// another set is noticed by the break, and whoever followed then waits until the old lease has ended.
pub struct EitherLock {
    v3: EtcdLock,
    v2: EtcdV2Lock,
    is_v2: bool,
}

impl EitherLock {
    /// A candidate in both; it stands in one at a time.
    pub fn new(v3: EtcdLock, v2: EtcdV2Lock) -> EitherLock {
        EitherLock { v3, v2, is_v2: false }
    }
}

impl Lock for EitherLock {
    async fn acquire(&mut self, take: bool) -> Result<Attempt> {
        let is_v2 = self.v2.is_there().await?;
        if is_v2 != self.is_v2 {
            self.release().await?;
            self.is_v2 = is_v2;
        }
        if is_v2 { self.v2.acquire(take).await } else { self.v3.acquire(take).await }
    }

    async fn renew(&mut self) -> Result<bool> {
        if self.is_v2 { self.v2.renew().await } else { self.v3.renew().await }
    }

    async fn release(&mut self) -> Result<()> {
        if self.is_v2 { self.v2.release().await } else { self.v3.release().await }
    }

    fn lease(&self) -> Duration {
        if self.is_v2 { self.v2.lease() } else { self.v3.lease() }
    }

    async fn changed(&mut self) -> Result<()> {
        if self.is_v2 { self.v2.changed().await } else { self.v3.changed().await }
    }
}

fn leader(pair: &Pair) -> Option<String> {
    Some(String::from_utf8_lossy(&pair.value).into_owned())
}
