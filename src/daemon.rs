//! From a loaded configuration to an exit code: sockets, roles, readiness, signals, drain.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use crate::agent;
use crate::agent::front::Front;
use crate::clock;
use crate::config::exposure;
use crate::config::load::Loaded;
use crate::config::local::bare_token;
use crate::config::pki::OWN_LIST;
use crate::config::settings::{self, Settings, Switch};
use crate::config::{self, Config};
use crate::discovery::lan::{Lan, interfaces};
use crate::discovery::registry::Registry;
use crate::discovery::{Backend, Means, Spec};
use crate::election::Election;
use crate::enroll::renewal::Renewal;
use crate::error::{Error, Kind, Result};
use crate::manager::{self, Manager};
use crate::systemd::beat::{self, Beats};
use crate::systemd::host::Host;
use crate::systemd::inherited::Inherited;
use crate::systemd::journal;
use crate::systemd::limits;
use crate::systemd::notify::{self, Notifier};
use crate::systemd::signals::{self, Signal};
use crate::systemd::sockets::{self, Opened, Socket, Wanted};
use crate::tls::pki::Files;
use crate::tls::pki::authority::Authority;
use crate::tls::pki::own::{self, Machine};
use crate::tls::{ClientTls, Peers, inspect};

/// How long requests under way may take to finish after SIGTERM. Below the unit's `TimeoutStopSec`.
const DRAIN: Duration = Duration::from_secs(10);
/// How often the supervisor is told how things stand.
const STATUS_INTERVAL: Duration = beat::PERIOD;

/// Runs the daemon until it is told to end. `inherited` was taken before any thread existed.
pub fn run(mut loaded: Loaded, inherited: Inherited) -> Result<()> {
    let log = journal::init(loaded.config.log.level, loaded.config.role)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    limits::raise_open_files();
    let signals = signals::listen()?;
    let runtime = runtime(&loaded.config)
        .enable_all()
        .build()
        .map_err(|e| Error::us(Kind::Internal, format!("cannot start the runtime: {e}")))?;
    let result = runtime.block_on(serve(&mut loaded, inherited, signals, &log));
    // Streams that did not end by themselves are cut: the drain gave them their time.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// An agent that carries nothing has one call at a time to make: no threads for that, nor their memory.
fn runtime(config: &Config) -> tokio::runtime::Builder {
    match config.role.manages() || config.agent.front.is_some() {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    }
}

async fn serve(
    loaded: &mut Loaded,
    inherited: Inherited,
    mut signals: Receiver<Signal>,
    log: &journal::Handle,
) -> Result<()> {
    let notifier = Notifier::from_env();
    let cancel = CancellationToken::new();
    let (authority, config) = certificates(&loaded.config)?;
    inspect::guard(&config, clock::unix_seconds())?;
    let beats = Beats::default();
    let switch = Switch::new(config.clone());
    let renewal =
        config.has_pki().then(|| Renewal { config: config.clone(), authority: authority.clone(), machine });
    if let Some(renewal) = renewal {
        tokio::spawn(renewal.run(beats.join("the care for the certificate"), cancel.clone()));
    }
    let mut roles = Roles::start(&switch.settings(), authority, inherited, &notifier, &beats, &cancel)?;
    roles.first_steps().await;
    notifier.status(&roles.status());
    notifier.ready();
    let beat = beats.join("the main loop");
    notify::spawn_watchdog(notifier.clone(), move || beats.stuck(), cancel.clone());
    let mut ticks = tokio::time::interval(STATUS_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                beat.beat();
                notifier.status(&roles.status());
            }
            signal = signals.recv() => match signal {
                Some(Signal::Reload) => {
                    notifier.reloading();
                    reload(loaded, &switch, log);
                    if let Err(error) = inspect::guard(&loaded.config, clock::unix_seconds()) {
                        tracing::error!("certificates: {error}");
                    }
                    notifier.reloaded();
                }
                Some(Signal::Terminate) | None => break,
            },
        }
    }
    tracing::info!("stopping");
    notifier.stopping();
    cancel.cancel();
    roles.drain().await;
    Ok(())
}

/// Sees to the cluster's own certificates, if it has them. The CA, if it is here, and the configuration with the secret
/// of this manager's own list in it.
fn certificates(config: &Config) -> Result<(Option<Authority>, Config)> {
    let mut config = config.clone();
    if !config.has_pki() {
        return Ok((None, config));
    }
    let authority = own::prepare(&config, &machine())?;
    if config.discovery.url.as_deref() == Some(OWN_LIST) {
        let token = own::list_token(&Files::below(&config.pki_dir()))?;
        config.discovery.url = Some(format!("token://{token}"));
    }
    Ok((authority, config))
}

/// By what others reach this machine.
fn machine() -> Machine {
    let addresses = interfaces::here(&[]).iter().map(|address| address.ip.to_string()).collect();
    Machine { hostname: Host::read().name, addresses }
}

/// Reads the same sources again; applies what can be applied, and says what cannot.
fn reload(loaded: &mut Loaded, switch: &Switch, log: &journal::Handle) {
    match loaded.reload() {
        Err(error) => tracing::error!("the configuration was not reloaded, the old one stays: {error}"),
        Ok((new, changes)) => {
            for change in &changes {
                match change.live {
                    true => tracing::info!("{} reloaded", change.key),
                    false => tracing::warn!("{} changed: takes effect after a restart", change.key),
                }
            }
            if changes.is_empty() {
                tracing::info!("reloaded: nothing changed");
            }
            switch.apply(&new.config, &changes);
            // What needs a restart is not in force: it is told again at the next reload.
            let mut config = loaded.config.clone();
            settings::take_live(&mut config, &new.config, &changes);
            log.set_level(config.log.level);
            *loaded = Loaded { config, ..new };
        }
    }
}

/// Where an agent leaves how it stands: the runtime directory that systemd made, else the state directory.
fn agent_file(config: &Config) -> PathBuf {
    let runtime = std::env::var("RUNTIME_DIRECTORY").ok().filter(|dir| !dir.is_empty());
    let directory = runtime.and_then(|dirs| dirs.split(':').next().map(PathBuf::from));
    directory.unwrap_or_else(|| config.state_dir.clone()).join(config::local::AGENT_FILE)
}

/// The roles of this process.
struct Roles {
    manager: Option<Manager>,
    front: Option<Front>,
    agent: Option<agent::Running>,
}

impl Roles {
    fn start(
        settings: &Settings,
        authority: Option<Authority>,
        inherited: Inherited,
        notifier: &Notifier,
        beats: &Beats,
        cancel: &CancellationToken,
    ) -> Result<Roles> {
        let config = &*settings.now();
        let url = config.discovery.url.as_deref().unwrap_or_default();
        let spec = Spec::parse(url)?;
        let tls = ClientTls::towards(config, Peers::Engines)?;
        let registry = match config.role.manages() {
            true => Some(Arc::new(Registry::open(&config.state_dir, false)?)),
            false => None,
        };
        let means = Means { hosted: registry.as_deref(), ..Means::of(config)? };
        notifier.status("starting");
        let wanted = Wanted {
            api: if config.role.manages() { &config.manager.host } else { &[] },
            unix_group: config.manager.socket_group.as_deref(),
            front: config.agent.front.as_ref().filter(|_| config.role.joins()),
        };
        if !config.role.manages() {
            inherited.refuse_units(wanted.front)?;
        }
        let Opened { api: sockets, front } = sockets::bind(&wanted, inherited, notifier)?;
        // An inherited socket may listen elsewhere than the configuration says.
        for address in sockets.iter().filter_map(Socket::local_addr) {
            exposure::guard_inherited(config, address)?;
        }
        let lan = Roles::lan(config, &sockets);
        let manager = match &registry {
            Some(registry) => {
                let (backend, registry) = (Backend::open(&spec, &means)?, Arc::clone(registry));
                let election = Election::enter(config, &spec, beats, cancel)?;
                let parts = manager::Parts {
                    sockets,
                    backend,
                    registry,
                    authority,
                    election,
                    lan: lan.as_ref(),
                    beats,
                };
                Some(manager::start(settings, parts, cancel)?)
            }
            None => None,
        };
        let front =
            front.map(|socket| Front::start(config, socket, beats.join("the front"), cancel)).transpose()?;
        let agent = match config.registers() {
            true => {
                let places = agent::Places::of(config, registry.as_deref(), lan.as_ref())?;
                Some(agent::start(config, places, tls, agent_file(config), beats, cancel))
            }
            false => None,
        };
        Ok(Roles { manager, front, agent })
    }

    /// mDNS, if this process may use it and has a use for it: others can reach its API, or its engine needs managers.
    fn lan(config: &Config, sockets: &[Socket]) -> Option<Lan> {
        let settings = &config.advertise;
        let url = config.discovery.url.as_deref().unwrap_or_default();
        let seeks = config.registers() && bare_token(url).is_some() && config.discovery.managers.is_empty();
        // Loopback counts only for who names its interface.
        let serves = sockets
            .iter()
            .any(|s| s.is_exposed() || (s.local_addr().is_some() && !settings.interfaces.is_empty()));
        if !(settings.lan && (seeks || serves)) {
            return None;
        }
        // Without it all else works as ever.
        Lan::open(settings, &Host::read().name).map_err(|error| tracing::error!("{error}")).ok()
    }

    /// Ends when each role did what readiness promises.
    async fn first_steps(&mut self) {
        if let Some(manager) = &self.manager {
            manager.first_reading().await;
        }
        if let Some(agent) = &mut self.agent {
            agent.first_attempt().await;
        }
    }

    fn status(&self) -> String {
        let parts = [
            self.manager.as_ref().map(Manager::status),
            self.agent.as_ref().map(agent::Running::status),
            self.front.as_ref().map(Front::status),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }

    /// Lets the agent say goodbye and what is under way finish, for a while.
    async fn drain(self) {
        let all = async {
            if let Some(agent) = self.agent {
                agent.stopped().await;
            }
            if let Some(front) = self.front {
                front.stopped().await;
            }
            if let Some(manager) = self.manager {
                manager.election.ended().await;
                manager.advertising.stopped().await;
                manager.listeners.wait().await;
                manager.streams.close();
                manager.streams.wait().await;
            }
        };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            tracing::info!("some streams are still open: ending them");
        }
    }
}

#[cfg(test)]
#[path = "daemon_tests.rs"]
mod tests;
