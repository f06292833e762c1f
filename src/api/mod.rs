//! The Docker API in front of the cluster.
//!
//! `server` accepts, `route` names the endpoint, the files named after objects answer, `proxy` and `hijack`
//! carry what belongs to one engine. Whatever an engine says passes through as it came, except for the few
//! fields that must name the node.

pub mod admit;
pub mod answer;
pub mod audit;
pub mod build;
pub mod builders;
pub mod call;
pub mod containers;
pub mod copy;
pub mod create;
pub mod df;
pub mod dispatch;
pub mod ending;
pub mod error;
pub mod events;
pub mod exact;
pub mod exec;
pub mod fanout;
pub mod gap;
pub mod handshakes;
pub mod hijack;
pub mod holders;
pub mod image_list;
pub mod images;
pub mod info;
pub mod lifecycle;
pub mod limits;
pub mod listing;
pub mod networks;
pub mod newest;
pub mod older;
pub mod platforms;
pub mod plugins;
pub mod proxy;
pub mod prune;
pub mod pull;
pub mod rates;
pub mod recreate;
pub mod replica;
pub mod roles;
pub mod route;
pub mod selection;
pub mod server;
pub mod sums;
pub mod supply;
pub mod swarmd;
pub mod system;
pub mod upload;
pub mod volumes;
pub mod wishes;

use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::cluster::Cluster;
use crate::config::{Config, Settings};
use crate::discovery::lan::advertise::Told;
use crate::discovery::outlook::Outlook;
use crate::discovery::registry::Registry;
use crate::discovery::{Backend, State};
use crate::election::Mandate;
use crate::enroll::limit::Limiter;
use crate::error::{Error, Kind, Result};
use crate::scheduler;
use crate::systemd::host::Host;
use crate::tls::ends::Ends;
use crate::tls::pki::authority::Authority;

/// Whether the certificate with this serial number was revoked.
pub type IsRevoked = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Everything that the answers are made from. One for the process, shared.
pub struct Api {
    /// The engines.
    pub cluster: Arc<Cluster>,
    /// The configuration in force.
    pub settings: Settings,
    /// Whether this manager may change anything.
    pub mandate: Mandate,
    /// The way to the manager that may, if it is another.
    pub primary: replica::Way,
    /// How much one client may ask for.
    pub limits: Arc<limits::Limits>,
    /// Whether the certificate with a serial number was revoked.
    pub revoked: IsRevoked,
    /// When the certificates end that clients have shown.
    pub ends: Arc<Ends>,
    /// Whether roles are in use.
    pub roles: roles::Roles,
    /// Where the engines are listed.
    pub discovery: Backend,
    /// How discovery stands.
    pub outlook: watch::Receiver<Outlook>,
    /// What the last answer to `info` said of the nodes.
    pub sums: sums::Memory,
    /// Why containers were placed where they are, as long as that is remembered.
    pub decisions: swarmd::log::Log,
    /// Who moves containers now.
    pub moving: swarmd::moving::Turn,
    /// The hosted token registry.
    pub registry: Arc<Registry>,
    /// The CA of the cluster, if this manager has it.
    pub authority: Option<Authority>,
    /// Who tried to join lately.
    pub joining: Mutex<Limiter>,
    /// Which node has which exec session.
    pub execs: exec::Execs,
    /// Which engine builds for which client.
    pub bursts: build::Bursts,
    /// Images on their way from node to node.
    pub supply: supply::Supply,
    /// What images were built for.
    pub platforms: platforms::Platforms,
    /// Facts about this machine.
    pub host: Host,
    /// Facts about this manager.
    pub about: About,
    /// Chance for strategy `random`.
    pub rng: Mutex<fastrand::Rng>,
    /// Streams under way, which a shutdown waits for.
    pub streams: TaskTracker,
    /// Fires when the manager stops: streams without an end of their own end then.
    pub closing: CancellationToken,
}

/// What is told about the manager itself.
pub struct About {
    /// Unix seconds of its start.
    pub started: i64,
    /// Where it listens.
    pub listeners: Vec<String>,
    /// Those of them that other machines reach.
    pub exposed: Vec<String>,
    /// The list of engines.
    pub discovery: watch::Receiver<State>,
    /// What it tells on the LAN.
    pub lan: watch::Receiver<Told>,
}

impl Api {
    /// The configuration as it is now.
    pub fn config(&self) -> Arc<Config> {
        self.settings.now()
    }

    /// How containers are placed now.
    pub fn placement(&self) -> scheduler::Options {
        let config = self.config();
        let manager = &config.manager;
        scheduler::Options {
            strategy: manager.strategy,
            filters: manager.filter.clone(),
            overcommit_percent: scheduler::overcommit_percent(manager.overcommit),
        }
    }

    /// Runs `work` to its end, also when the client that waits for it leaves.
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let ended = self.streams.spawn(work.in_current_span()).await;
        ended.unwrap_or_else(|e| Err(Error::us(Kind::Internal, format!("a task failed: {e}"))))
    }
}
