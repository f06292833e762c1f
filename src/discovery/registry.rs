//! The token registry that a manager hosts: what `registry_store` knows, kept on disk and shared.
//!
//! The HTTP face is in `registry_http`; engines of this very process come in through `Local`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch::{self, Receiver};
use tokio::time::Instant;

use crate::clock;
use crate::discovery::registry_local::Local;
use crate::discovery::registry_store::{self, Change, Store, TokenHash};
use crate::discovery::{Entry, Origin, entry, registry_file, spec};
use crate::docker::endpoint::Endpoint;
use crate::error::{Error, Kind, Result};

/// Entries whose agents are remembered: more than any cluster has.
const OWNERS: usize = 16_384;

/// The hosted registry. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    path: PathBuf,
    open_create: bool,
    clock: Steady,
    held: Mutex<Held>,
    /// The generation that is on disk. Locked while writing, on blocking threads only; before `held`.
    written: Mutex<u64>,
    pulse: watch::Sender<u64>,
}

struct Held {
    store: Store,
    /// Tokens that this process was started with: they cannot be forgotten.
    adopted: HashSet<TokenHash>,
    generation: u64,
    save_error: Option<Error>,
    /// Which agent has registered an entry, by its certificate; not kept over restarts.
    owners: HashMap<Entry, String>,
}

/// Seconds that start at wall time and then never jump: setting the clock, as machines without a battery
/// clock do soon after boot, must not end registrations.
struct Steady {
    wall: i64,
    start: Instant,
}

impl Steady {
    fn now(&self) -> i64 {
        self.wall + i64::try_from(self.start.elapsed().as_secs()).unwrap_or(i64::MAX / 2)
    }

    /// What the wall clock is ahead.
    fn wall_ahead(&self) -> i64 {
        clock::unix_seconds() - self.now()
    }
}

impl Registry {
    /// Reads the registry in `state_dir`, or starts an empty one. `open_create` lets anybody make tokens.
    ///
    /// Errors: a file that is there and cannot be read or understood. It is left as it is.
    pub fn open(state_dir: &Path, open_create: bool) -> Result<Registry> {
        let path = state_dir.join(registry_file::FILE_NAME);
        let clock = Steady { wall: clock::unix_seconds(), start: Instant::now() };
        let held = Held {
            store: registry_file::load(&path, clock.wall)?,
            adopted: HashSet::new(),
            generation: 0,
            save_error: None,
            owners: HashMap::new(),
        };
        Ok(Registry(Arc::new(Inner {
            path,
            open_create,
            clock,
            held: Mutex::new(held),
            written: Mutex::new(0),
            pulse: watch::Sender::new(0),
        })))
    }

    /// Adopts `token` as one that this process was started with, and gives direct access to its list.
    pub fn local(&self, token: &str) -> Result<Local> {
        spec::check_token(token)?;
        let mut held = self.held();
        if held.store.add_token(token)? != Change::Nothing {
            // Goes to disk with the first entry: until then the next start adopts it just as well.
            held.generation += 1;
        }
        held.adopted.insert(registry_store::hash(token));
        drop(held);
        Ok(Local { registry: self.clone(), token: token.to_string() })
    }

    /// Makes a new token: 32 lowercase hexadecimal digits. It is on disk when this returns.
    pub async fn create(&self, from: Origin) -> Result<String> {
        if from == Origin::Remote && !self.0.open_create {
            return Err(Error::client(Kind::Permission, "tokens are made on the manager's machine only")
                .advise("run `swarmd create` there, or connect with a client certificate"));
        }
        let mut secret = [0_u8; 16];
        getrandom::fill(&mut secret).map_err(|e| Error::us(Kind::Internal, format!("no randomness: {e}")))?;
        let token: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        self.change(|held, _| held.store.add_token(&token))?;
        if let Err(error) = self.save().await {
            // Nobody knows it yet; a token that the next start has forgotten is of no use.
            self.change(|held, _| held.store.remove_token(&token))?;
            return Err(error);
        }
        Ok(token)
    }

    /// Registers `address` under `token`, or renews it. `ttl` in seconds, 0 for the default.
    ///
    /// A disk that fails is logged and does not turn engines away.
    pub async fn register(&self, token: &str, address: &str, ttl: i64, from: Origin) -> Result<()> {
        let entry = entry::parse(address)?;
        if matches!(entry, Endpoint::Unix(_)) && !from.is_local() {
            return Err(Error::client(
                Kind::Invalid,
                format!("{entry} is a socket of another machine: a manager cannot connect to it"),
            )
            .advise("advertise host:port"));
        }
        let address = entry.to_string();
        let change = self.change(|held, now| held.store.register(token, &address, ttl, now))?;
        self.save_if(change).await;
        Ok(())
    }

    /// The entries under `token` that are alive now.
    pub fn list(&self, token: &str) -> Result<Vec<String>> {
        let now = self.0.clock.now();
        self.held().store.list(token, now)
    }

    /// The hashes of all tokens, those that this process was started with first.
    pub fn tokens(&self) -> Vec<TokenHash> {
        let held = self.held();
        let mut tokens: Vec<TokenHash> = held.store.clusters().map(|(hash, _)| hash.clone()).collect();
        tokens.sort_by_key(|hash| (!held.adopted.contains(hash), hash.clone()));
        tokens
    }

    /// Takes one entry off.
    pub async fn withdraw(&self, token: &str, address: &str) -> Result<()> {
        let address = entry::parse(address)?.to_string();
        let change = self.change(|held, _| held.store.withdraw(token, &address))?;
        self.save_if(change).await;
        Ok(())
    }

    /// Remembers by whom an entry was registered.
    pub(super) fn note_owner(&self, entry: &Entry, agent: &str) {
        let mut held = self.held();
        if held.owners.len() >= OWNERS && !held.owners.contains_key(entry) {
            held.owners.clear();
        }
        held.owners.insert(entry.clone(), agent.to_string());
    }

    /// Whether this agent is the last that has registered the entry.
    pub(super) fn is_owner(&self, entry: &Entry, agent: &str) -> bool {
        self.held().owners.get(entry).is_some_and(|owner| owner == agent)
    }

    /// Forgets a token with all its entries. One that this process was started with stays known, empty.
    pub async fn delete(&self, token: &str) -> Result<()> {
        self.change(|held, _| match held.adopted.contains(&registry_store::hash(token)) {
            true => held.store.clear(token),
            false => held.store.remove_token(token),
        })?;
        self.save().await
    }

    /// Saves what is not on disk yet, to the second. For an orderly stop.
    pub async fn flush(&self) -> Result<()> {
        self.held().generation += 1;
        self.save().await
    }

    /// Changes whenever somebody joined or left, under any token.
    pub fn pulse(&self) -> Receiver<u64> {
        self.0.pulse.subscribe()
    }

    /// Why the last save failed, if it did.
    pub fn save_error(&self) -> Option<Error> {
        self.held().save_error.clone()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the store, and wakes watchers if somebody came or went.
    fn change(&self, act: impl FnOnce(&mut Held, i64) -> Result<Change>) -> Result<Change> {
        let now = self.0.clock.now();
        let mut held = self.held();
        let change = act(&mut held, now)?;
        if change != Change::Nothing {
            held.generation += 1;
        }
        drop(held);
        if change == Change::Members {
            self.0.pulse.send_modify(|beat| *beat += 1);
        }
        Ok(change)
    }

    async fn save_if(&self, change: Change) {
        let failing = self.held().save_error.is_some();
        if change != Change::Nothing || failing {
            // `write` logs what went wrong.
            let _ = self.save().await;
        }
    }

    async fn save(&self) -> Result<()> {
        let registry = self.clone();
        let written = tokio::task::spawn_blocking(move || registry.write()).await;
        written.unwrap_or_else(|e| Err(Error::us(Kind::Internal, e.to_string())))
    }

    /// Writes the file unless a parallel call has done so since. Blocks on the disk.
    fn write(&self) -> Result<()> {
        let mut written = self.0.written.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = self.0.clock.wall_ahead();
        let (content, generation) = {
            let mut held = self.held();
            if held.generation <= *written {
                return Ok(());
            }
            let content = registry_file::render(&held.store, ahead)?;
            held.store.mark_saved();
            (content, held.generation)
        };
        let saved = registry_file::save(&self.0.path, &content);
        if saved.is_ok() {
            *written = generation;
        }
        let mut held = self.held();
        match (&saved, &held.save_error) {
            (Err(error), before) if before.as_ref() != Some(error) => {
                tracing::error!(KIND = error.kind.word(), "{error}");
            }
            (Ok(()), Some(_)) => tracing::info!("The token registry can be saved again"),
            _ => {}
        }
        held.save_error = saved.clone().err();
        saved
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
