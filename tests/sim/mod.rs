//! A simulated Docker Engine: a real HTTP server that speaks the Engine API over state in memory.
//!
//! It is an independent peer of the daemon: nothing here uses the `swarmd` crate, so that a misreading of the
//! API cannot agree with itself. It runs no containers, and imitates a handful of commands (`program`).
//!
//! ```text
//! server ── faults ──► route ──► create · lifecycle · streams · lists · images · networks · volumes · system
//!    └─► control (/_sim/)             └────────────► state ◄── events, output
//! ```

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "each test crate uses its own part of this"
)]

pub mod clock;
pub mod container;
pub mod control;
pub mod create;
pub mod events;
pub mod extras;
pub mod fault;
pub mod images;
pub mod lifecycle;
pub mod lists;
pub mod networks;
pub mod output;
pub mod preload;
pub mod profile;
pub mod program;
pub mod query;
pub mod reply;
pub mod route;
pub mod server;
pub mod state;
pub mod streams;
pub mod system;
pub mod volumes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;

pub use fault::{Fault, Kind};
pub use profile::{Profile, Release};
pub use state::{Call, Engine};

/// A running simulated engine. Dropping it closes its listener and all its connections.
pub struct SimEngine {
    /// Where it listens; the same after a restart.
    pub addr: SocketAddr,
    engine: Arc<Engine>,
}

impl SimEngine {
    /// Starts an engine on the profile's address. Needs a tokio runtime.
    pub async fn start(profile: Profile) -> io::Result<SimEngine> {
        let wanted: SocketAddr = profile.listen.parse().map_err(io::Error::other)?;
        let engine = Engine::new(profile);
        let addr = server::listen(&engine, wanted)?;
        control::enlist(&engine, addr);
        Ok(SimEngine { addr, engine })
    }

    /// The engine's ID now.
    pub fn id(&self) -> String {
        self.engine.state().id.clone()
    }

    /// The host name that it reports.
    pub fn name(&self) -> &str {
        &self.engine.profile.name
    }

    /// Puts a fault into force. `Refuse` and `Listen` are `stop` and `restart_on_same_port`.
    pub async fn fault(&self, fault: Fault) {
        match fault.kind {
            Kind::Refuse => self.stop(),
            // A port that cannot be had again shows in the next request.
            _ => drop(control::apply(&self.engine, &fault, self.addr).await),
        }
    }

    /// Ends all faults but a closed listener.
    pub async fn clear_faults(&self) {
        self.fault(Fault::everywhere(Kind::Clear)).await;
    }

    /// How many requests came on routes that contain a text, as in `POST /containers/{id}/start`.
    pub fn calls(&self, route: &str) -> u64 {
        let state = self.engine.state();
        state.counts.iter().filter(|(r, _)| r.contains(route)).map(|(_, n)| n).sum()
    }

    /// How many requests on routes that contain a text are not over: streams that nobody ended, mostly.
    pub fn open(&self, route: &str) -> u64 {
        let state = self.engine.state();
        state.open.iter().filter(|(r, _)| r.contains(route)).map(|(_, n)| n).sum()
    }

    /// The last requests, oldest first.
    pub fn recent_calls(&self) -> Vec<Call> {
        self.engine.state().calls.iter().cloned().collect()
    }

    /// Starts counting afresh.
    pub fn forget_calls(&self) {
        self.engine.forget_calls();
    }

    /// Name and state of every container, oldest first.
    pub fn containers(&self) -> Vec<(String, &'static str)> {
        self.engine.state().containers.iter().map(|c| (c.name.clone(), c.status)).collect()
    }

    /// A container as `inspect` shows it.
    pub fn inspect(&self, wanted: &str) -> Option<Value> {
        let api = self.engine.profile.release.api().0;
        self.engine.state().container(wanted).ok().map(|c| c.inspect(api, false))
    }

    /// Ends a container as if its process had ended.
    pub fn exit(&self, wanted: &str, code: i64) {
        let id = self.engine.state().container(wanted).map(|c| c.id.clone());
        if let Ok(id) = id {
            lifecycle::exit(&self.engine, &id, code);
        }
    }

    /// What it was started with, its state, and what wakes its waiters.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Closes the listener and all connections, as a crash would. Containers live on, as with live-restore.
    pub fn stop(&self) {
        self.engine.life().cancel();
    }

    /// Listens again where it did.
    pub async fn restart_on_same_port(&self) -> io::Result<()> {
        self.stop();
        server::relisten(&self.engine, self.addr).await
    }
}

impl Drop for SimEngine {
    fn drop(&mut self) {
        self.stop();
    }
}
