//! The hosted registry as seen from its own process: a bare `token://TOKEN` on a manager. No HTTP.

use std::time::Duration;

use crate::discovery::news::News;
use crate::discovery::origin::Origin;
use crate::discovery::registry::Registry;
use crate::discovery::{Entry, entry};
use crate::error::{Error, Kind, Result};

/// One token's list in the registry of this process.
#[derive(Clone)]
pub struct Local {
    pub(super) registry: Registry,
    pub(super) token: String,
}

impl Local {
    /// The entries that are alive now.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let listed = self.registry.list(&self.token)?;
        listed.iter().map(|text| entry::parse(text)).collect()
    }

    /// Registers `entry`, or renews it.
    pub async fn register(&self, entry: &Entry, ttl: Duration) -> Result<()> {
        let ttl = i64::try_from(ttl.as_secs().max(1)).unwrap_or(i64::MAX);
        let entry = entry.to_string();
        self.registry.register(&self.token, &entry, ttl, Origin::InProcess).await
    }

    /// Takes `entry` off.
    pub async fn withdraw(&self, entry: &Entry) -> Result<()> {
        self.registry.withdraw(&self.token, &entry.to_string()).await
    }

    /// Word of the next one who joins or leaves, under any token.
    pub fn news(&self) -> News {
        let mut pulse = self.registry.pulse();
        Box::pin(async move {
            let beat = pulse.changed().await;
            beat.map_err(|_| Error::us(Kind::Internal, "the registry has gone"))
        })
    }
}
