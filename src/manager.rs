//! The role manager: the one list of what is spawned.

mod follow;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::build::Bursts;
use crate::api::exec::Execs;
use crate::api::limits::Limits;
use crate::api::platforms::Platforms;
use crate::api::replica::Way;
use crate::api::roles::Roles;
use crate::api::supply::Supply;
use crate::api::swarmd::log::Log;
use crate::api::{About, Api, IsRevoked, server};
use crate::clock;
use crate::cluster::{Cluster, Desk};
use crate::config::{Config, Settings};
use crate::discovery::lan::Lan;
use crate::discovery::lan::advertise::{Advertising, Hosting};
use crate::discovery::memory::Memory;
use crate::discovery::outlook::Outlook;
use crate::discovery::registry::Registry;
use crate::discovery::{self, Backend, State};
use crate::election::{Election, Role};
use crate::engine::machine::State as EngineState;
use crate::engine::task::Options;
use crate::error::Result;
use crate::rescheduler::Rescheduler;
use crate::systemd::beat::Beats;
use crate::systemd::host::Host;
use crate::systemd::sockets::Socket;
use crate::tls::pki::Files;
use crate::tls::pki::authority::Authority;
use crate::tls::pki::revoked::Revoked;
use crate::tls::{ClientTls, Peers, server as tls};

use follow::Follower;

/// How long readiness waits for the first reading of the list of engines.
const FIRST_READING: Duration = Duration::from_secs(5);

/// A running manager.
pub struct Manager {
    /// The engines.
    pub cluster: Arc<Cluster>,
    /// What discovery says.
    pub discovery: watch::Receiver<State>,
    /// How discovery stands.
    pub outlook: watch::Receiver<Outlook>,
    /// Listeners: they end when they are told to, and everything is answered.
    pub listeners: TaskTracker,
    /// Streams under way: attach, events, pulls.
    pub streams: TaskTracker,
    /// Which manager leads.
    pub election: Election,
    /// What is told on the LAN.
    pub advertising: Advertising,
}

/// What a manager is started with.
pub struct Parts<'a> {
    /// Open already.
    pub sockets: Vec<Socket>,
    /// Where its engines are listed.
    pub backend: Backend,
    /// The hosted token registry.
    pub registry: Arc<Registry>,
    /// The CA of the cluster, if it is here.
    pub authority: Option<Authority>,
    /// What it may do, and the election that says so.
    pub election: Election,
    /// There if it may make itself known.
    pub lan: Option<&'a Lan>,
    /// Where its loops say that they turn.
    pub beats: &'a Beats,
}

/// Starts the manager.
pub fn start(settings: &Settings, parts: Parts<'_>, cancel: &CancellationToken) -> Result<Manager> {
    let Parts { sockets, backend, registry, authority, mut election, lan, beats } = parts;
    let mandate = election.mandate.clone();
    let config = &*settings.now();
    let options = Options {
        settings: settings.clone(),
        tls: ClientTls::towards(config, Peers::Engines)?,
        fence: Arc::new(mandate.clone()),
        beats: beats.clone(),
        turns: Arc::default(),
    };
    let cluster = Cluster::new(options, Desk::open(&config.state_dir)?);
    election.share_orders(&cluster, beats, cancel);
    let acceptor = tls::acceptor(&config.tls)?;
    let (told, outlook) = watch::channel(Outlook::default());
    let advertising = advertise(config, &sockets, &registry, lan, cancel);
    let (heartbeat, beat) = (config.discovery.heartbeat, beats.join("the reading of discovery"));
    let discovery = discovery::watch(backend.clone(), heartbeat, beat, cancel.clone());
    let about = About {
        started: clock::unix_seconds(),
        listeners: sockets.iter().map(ToString::to_string).collect(),
        exposed: sockets.iter().filter(|s| s.is_exposed()).map(ToString::to_string).collect(),
        discovery: discovery.clone(),
        lan: advertising.told.clone(),
    };
    let api = Arc::new(Api {
        cluster: Arc::clone(&cluster),
        settings: settings.clone(),
        mandate: mandate.clone(),
        primary: Way::new(ClientTls::towards(config, Peers::Managers)?),
        limits: Arc::new(Limits::new(config.limits.clone())),
        revoked: revoked(config)?,
        ends: Arc::default(),
        roles: Roles::open(&config.state_dir),
        discovery: backend,
        outlook: outlook.clone(),
        sums: Default::default(),
        decisions: Log::default(),
        registry,
        authority,
        joining: Mutex::default(),
        execs: Execs::default(),
        bursts: Bursts::default(),
        supply: Supply::new(Arc::clone(&cluster)),
        platforms: Platforms::default(),
        host: Host::read(),
        moving: Default::default(),
        about,
        rng: Mutex::new(fastrand::Rng::new()),
        streams: TaskTracker::new(),
        closing: cancel.clone(),
    });
    let rescheduler = Rescheduler::open(Arc::clone(&api), Arc::new(move || mandate.may_act()))?;
    // Waited for at the end: what it knows is to be on disk.
    api.streams.spawn(rescheduler.run(beats.join("the rescheduler"), cancel.clone()));
    let memory = Memory::of(&config.state_dir, config.discovery.url.as_deref().unwrap_or_default());
    let beat = beats.join("the list of members");
    let follower = Follower::new(Arc::clone(&cluster), &config.discovery, memory, beat, told);
    tokio::spawn(follower.follow(discovery.clone()));
    let listeners = TaskTracker::new();
    for socket in sockets {
        tracing::info!("Listening for HTTP on {socket}");
        let (api, acceptor, beat) = (Arc::clone(&api), acceptor.clone(), beats.join(format!("{socket}")));
        listeners.spawn(server::serve(socket, api, acceptor, beat, cancel.clone()));
    }
    listeners.close();
    let streams = api.streams.clone();
    Ok(Manager { cluster, discovery, outlook, listeners, streams, election, advertising })
}

/// Which certificates were revoked, by serial number. Without the cluster's own nobody is told.
fn revoked(config: &Config) -> Result<IsRevoked> {
    if !config.has_pki() {
        return Ok(Arc::new(|_| false));
    }
    let list = Revoked::open(&Files::below(&config.pki_dir()))?;
    Ok(Arc::new(move |serial| list.contains(serial)))
}

/// Makes the manager known on the LAN, as far as it is there to be found.
fn advertise(
    config: &Config,
    sockets: &[Socket],
    registry: &Registry,
    lan: Option<&Lan>,
    cancel: &CancellationToken,
) -> Advertising {
    let Some(lan) = lan else {
        return Advertising::nothing(match config.advertise.lan {
            true => "the API listens on loopback only: set manager.host to be reached from other machines",
            false => "[advertise] lan = false",
        });
    };
    let bound = sockets.iter().filter_map(Socket::local_addr).collect();
    let hosting = Hosting { registry: registry.clone(), bound, tls: config.tls.enabled() };
    lan.advertise(hosting, cancel.clone())
}

impl Manager {
    /// Ends when the list of engines was read, or tried for a while: a store that is down must not keep a
    /// manager from being ready.
    pub async fn first_reading(&self) {
        let mut discovery = self.discovery.clone();
        let tried = discovery.wait_for(|state| state.last_try.is_some());
        if tokio::time::timeout(FIRST_READING, tried).await.is_err() {
            tracing::warn!("discovery does not answer yet; going on without a list of engines");
        }
    }

    /// One line for the supervisor.
    pub fn status(&self) -> String {
        let view = self.cluster.view();
        let healthy = view.healthy().count();
        let worst = view.nodes().find(|n| n.state == EngineState::Unhealthy);
        let trouble = match (self.outlook.borrow().trouble(clock::unix_seconds()), worst) {
            (Some(trouble), _) => format!("; discovery: {trouble}"),
            (None, Some(node)) => {
                format!("; {}: {}", node.name(), node.error.as_deref().unwrap_or("unhealthy"))
            }
            (None, None) => String::new(),
        };
        format!("manager ({}), {healthy} of {} nodes healthy{trouble}", self.role(), view.nodes().len())
    }

    fn role(&self) -> String {
        let now = self.election.mandate.leadership();
        match (now.role, now.primary) {
            (Role::Primary, _) => "primary".to_string(),
            (_, Some(primary)) => format!("replica of {primary}"),
            (_, None) => "no primary is known".to_string(),
        }
    }
}
