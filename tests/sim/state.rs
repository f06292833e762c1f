//! The state of one engine behind one lock, and the ways to look things up in it. *Not* what requests do to it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::clock;
use super::container::Container;
use super::events::Event;
use super::fault::Fault;
use super::images::Image;
use super::networks::Network;
use super::output::Output;
use super::profile::Profile;
use super::reply::{Fail, fail};

/// Requests remembered for `/_sim/calls`.
const CALLS_KEPT: usize = 2000;

/// One request that arrived.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Call {
    /// `GET /containers/{id}/json`.
    pub route: String,
    /// Path and query as sent.
    pub path: String,
    /// Status of the answer; 0 while there is none.
    pub status: u16,
    /// The request's header `x-mark`: tests tell by it whose request it was.
    pub mark: String,
    /// The request's header `x-swarmd-primary`: on whose word, and in which term, a manager sent it.
    pub primary: String,
    /// When it came, in nanoseconds since the epoch, by the true clock.
    pub at: i64,
}

/// A request that is not over. Goes with its answer's body or, if it took the connection over, with that.
#[derive(Debug)]
pub struct Open {
    engine: Arc<Engine>,
    route: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(n) = self.engine.state().open.get_mut(&self.route) {
            *n -= 1;
        }
    }
}

/// A command run within a container.
#[derive(Debug)]
pub struct Exec {
    /// Whose.
    pub container: String,
    /// The body of its creation.
    pub spec: Value,
    /// Whether it runs.
    pub running: bool,
    /// Whether it was started ever.
    pub started: bool,
    /// How it ended.
    pub exit_code: Option<i64>,
    /// Its streams.
    pub output: Arc<Output>,
}

/// Everything that changes.
#[derive(Debug, Default)]
pub struct State {
    /// The ID now.
    pub id: String,
    /// Oldest first.
    pub containers: Vec<Container>,
    /// By ID.
    pub execs: HashMap<String, Exec>,
    /// All images.
    pub images: Vec<Image>,
    /// All networks.
    pub networks: Vec<Network>,
    /// By name.
    pub volumes: BTreeMap<String, Value>,
    /// Files put into containers, by container ID and path.
    pub files: HashMap<(String, String), Bytes>,
    /// Recent events with their numbers.
    pub history: VecDeque<(u64, Arc<Event>)>,
    /// Exit codes of containers that are gone.
    pub graves: VecDeque<(String, i64)>,
    /// Faults in force.
    pub faults: Vec<Fault>,
    /// Recent requests.
    pub calls: VecDeque<Call>,
    /// Requests by route, all of them.
    pub counts: BTreeMap<String, u64>,
    /// The clock's error in seconds.
    pub skew: i64,
    /// Whether event streams say nothing.
    pub muted: bool,
    /// Number of times that event streams were ended.
    pub cuts: u64,
    /// Next address within networks and next free port.
    pub serial: u32,
    /// How many connections were accepted.
    pub connections: u64,
    /// Requests by route that are not over: no answer yet, or a stream that nobody ended.
    pub open: BTreeMap<String, u64>,
}

/// One engine: what it is, its state, and its life.
#[derive(Debug)]
pub struct Engine {
    /// What it was started with.
    pub profile: Profile,
    state: Mutex<State>,
    /// Counts changes: events, and ends of event streams. Waiters look again at each.
    pub changes: watch::Sender<u64>,
    life: Mutex<CancellationToken>,
}

impl Engine {
    /// An engine with its first images, networks and containers.
    pub fn new(profile: Profile) -> Arc<Engine> {
        let state = State { id: profile.engine_id(), serial: 1, ..State::default() };
        let engine = Engine {
            profile,
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
            life: Mutex::default(),
        };
        let engine = Arc::new(engine);
        super::preload::fill(&engine);
        engine
    }

    /// The state, locked. Never held over an `.await`.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the listener and all connections shall close.
    pub fn life(&self) -> CancellationToken {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new life, for a listener that opens again.
    pub fn revive(&self) -> CancellationToken {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        *life = CancellationToken::new();
        life.clone()
    }

    /// The time as this engine sees it.
    pub fn now(&self) -> i64 {
        let skew = self.state().skew;
        clock::now(skew)
    }

    /// Something changed: waiters look again.
    pub fn bump(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    /// Notes the status of the newest such request that has none yet.
    pub fn answered(&self, route: &str, path: &str, status: u16) {
        let mut state = self.state();
        let open = state.calls.iter_mut().rev().find(|c| c.status == 0 && c.route == route && c.path == path);
        if let Some(call) = open {
            call.status = status;
        }
    }

    /// Starts counting afresh.
    pub fn forget_calls(&self) {
        let mut state = self.state();
        state.calls.clear();
        state.counts.clear();
    }

    /// Notes a request that arrived. It is over when the returned value is dropped.
    pub fn note(self: &Arc<Engine>, route: &str, path: &str, mark: &str, primary: &str) -> Arc<Open> {
        let mut state = self.state();
        *state.open.entry(route.to_string()).or_default() += 1;
        *state.counts.entry(route.to_string()).or_default() += 1;
        if state.calls.len() == CALLS_KEPT {
            state.calls.pop_front();
        }
        let (route, path, mark) = (route.to_string(), path.to_string(), mark.to_string());
        let (primary, at) = (primary.to_string(), clock::now(0));
        state.calls.push_back(Call { route: route.clone(), path, status: 0, mark, primary, at });
        Arc::new(Open { engine: self.clone(), route })
    }
}

impl State {
    /// Finds a container by ID, name (with or without slash) or unambiguous ID prefix.
    pub fn position(&self, wanted: &str) -> Result<usize, Fail> {
        let name = wanted.strip_prefix('/').unwrap_or(wanted);
        let exact = self.containers.iter().position(|c| c.id == wanted);
        if let Some(i) = exact.or_else(|| self.containers.iter().position(|c| c.name == name)) {
            return Ok(i);
        }
        let mut hits = (0..self.containers.len()).filter(|i| self.containers[*i].id.starts_with(wanted));
        match (hits.next(), hits.next()) {
            (Some(i), None) if !wanted.is_empty() => Ok(i),
            (Some(_), Some(_)) => fail(400, format!("multiple IDs found with provided prefix: {wanted}")),
            _ => fail(404, format!("No such container: {wanted}")),
        }
    }

    /// The container itself.
    pub fn container(&self, wanted: &str) -> Result<&Container, Fail> {
        Ok(&self.containers[self.position(wanted)?])
    }

    /// The container itself, to change it.
    pub fn container_mut(&mut self, wanted: &str) -> Result<&mut Container, Fail> {
        let position = self.position(wanted)?;
        Ok(&mut self.containers[position])
    }

    /// A number never given before by this engine.
    pub fn next_serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }
}
