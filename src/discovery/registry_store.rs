//! What the hosted registry knows: tokens, and the entries under each. Pure: time comes in as an argument,
//! in seconds of whatever clock the caller keeps. Not here: HTTP, files, who may do what.
//!
//! Tokens are held as SHA-256 hashes. A look-up by hash gives away nothing by its timing, and neither does
//! a copy of the file that this is saved to.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};

/// Most tokens in one registry.
pub const MOST_TOKENS: usize = 1024;
/// Most entries under one token.
pub const MOST_ENTRIES: usize = 10_000;
/// Life of a registration that names none, in seconds.
pub const DEFAULT_TTL: i64 = 180;
/// Longest life of a registration: 7 days, in seconds.
pub const LONGEST_TTL: i64 = 7 * 24 * 3600;

/// The SHA-256 of a token, in hexadecimal.
pub type TokenHash = String;

/// Hashes a token.
pub fn hash(token: &str) -> TokenHash {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The entry in its printed form.
    pub address: String,
    /// Life of a registration, seconds.
    pub ttl: i64,
    /// When it ends unless it is renewed.
    pub expires: i64,
    /// The `expires` that was last saved.
    pub saved: i64,
}

/// All clusters of one registry. Entries keep the order of their first registration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    clusters: BTreeMap<TokenHash, Vec<Member>>,
}

/// What a call changed, and so what must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing to save.
    Nothing,
    /// Only expiry times moved, by enough to save them.
    Expiry,
    /// Somebody came or went: save, and wake those who watch.
    Members,
}

impl Store {
    /// Makes a token known. A known one keeps its entries.
    pub fn add_token(&mut self, token: &str) -> Result<Change> {
        let hash = hash(token);
        if self.clusters.contains_key(&hash) {
            return Ok(Change::Nothing);
        }
        if self.clusters.len() >= MOST_TOKENS {
            return Err(full(format!("this registry holds {MOST_TOKENS} tokens already"))
                .advise("remove one that is no longer used: DELETE /clusters/TOKEN"));
        }
        self.clusters.insert(hash, Vec::new());
        Ok(Change::Members)
    }

    /// Forgets a token and its entries.
    pub fn remove_token(&mut self, token: &str) -> Result<Change> {
        match self.clusters.remove(&hash(token)) {
            Some(_) => Ok(Change::Members),
            None => Err(unknown()),
        }
    }

    /// Takes all entries off a token, which stays known.
    pub fn clear(&mut self, token: &str) -> Result<Change> {
        self.cluster(token)?.clear();
        Ok(Change::Members)
    }

    /// Registers `address` until `now + ttl`, or renews it. `ttl` 0 means the default; the rest is clamped.
    ///
    /// A renewal is worth saving when the saved expiry has fallen behind by half a life: what is read back
    /// after a restart then still outlives the time until the next heartbeat, at few writes.
    pub fn register(&mut self, token: &str, address: &str, ttl: i64, now: i64) -> Result<Change> {
        let members = self.cluster(token)?;
        let expired = drop_expired(members, now);
        let ttl = clamp_ttl(ttl);
        let expires = now + ttl;
        if let Some(member) = members.iter_mut().find(|m| m.address == address) {
            (member.ttl, member.expires) = (ttl, expires);
            let behind = (expires - member.saved).abs() >= ttl / 2;
            return Ok(match (expired, behind) {
                (true, _) => Change::Members,
                (false, true) => Change::Expiry,
                (false, false) => Change::Nothing,
            });
        }
        if members.len() >= MOST_ENTRIES {
            return Err(full(format!("this token has {MOST_ENTRIES} entries already")));
        }
        members.push(Member { address: address.to_string(), ttl, expires, saved: 0 });
        Ok(Change::Members)
    }

    /// The addresses under a token that live at `now`.
    pub fn list(&self, token: &str, now: i64) -> Result<Vec<String>> {
        let members = self.clusters.get(&hash(token)).ok_or_else(unknown)?;
        let alive = members.iter().filter(|m| m.expires > now);
        Ok(alive.map(|m| m.address.clone()).collect())
    }

    /// Takes one entry off. One that is not there is no error.
    pub fn withdraw(&mut self, token: &str, address: &str) -> Result<Change> {
        let members = self.cluster(token)?;
        let before = members.len();
        members.retain(|m| m.address != address);
        Ok(match members.len() < before {
            true => Change::Members,
            false => Change::Nothing,
        })
    }

    /// Whether `token` is known.
    pub fn knows(&self, token: &str) -> bool {
        self.clusters.contains_key(&hash(token))
    }

    /// All clusters, for saving.
    pub fn clusters(&self) -> impl Iterator<Item = (&TokenHash, &[Member])> {
        self.clusters.iter().map(|(hash, members)| (hash, members.as_slice()))
    }

    /// Puts back a cluster that was saved.
    pub fn restore(&mut self, hash: TokenHash, members: Vec<Member>) {
        self.clusters.insert(hash, members);
    }

    /// Notes that everything is on disk as it is now.
    pub fn mark_saved(&mut self) {
        for member in self.clusters.values_mut().flatten() {
            member.saved = member.expires;
        }
    }

    fn cluster(&mut self, token: &str) -> Result<&mut Vec<Member>> {
        self.clusters.get_mut(&hash(token)).ok_or_else(unknown)
    }
}

/// A life within bounds: 1 s to 7 days; 0 means 180 s.
pub fn clamp_ttl(ttl: i64) -> i64 {
    match ttl {
        0 => DEFAULT_TTL,
        ttl => ttl.clamp(1, LONGEST_TTL),
    }
}

fn drop_expired(members: &mut Vec<Member>, now: i64) -> bool {
    let before = members.len();
    members.retain(|m| m.expires > now);
    members.len() < before
}

fn unknown() -> Error {
    Error::client(Kind::NotFound, "unknown token")
        .advise("make one with `swarmd create`, or start the manager with token://TOKEN; if it was made, check it for a typing error")
}

fn full(message: String) -> Error {
    Error::client(Kind::Unavailable, message)
}

#[cfg(test)]
#[path = "registry_store_tests.rs"]
mod tests;
