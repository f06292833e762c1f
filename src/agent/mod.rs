//! The agent role: makes one engine known to the cluster at each heartbeat, and takes it back on stop.
//!
//! It is in the path between manager and engine only where it is the `front` of its engine. A dead engine does not
//! keep it from registering: managers see for themselves whether an engine answers.
//!
//! ```text
//!  the URL, or managers = [...] ─┐
//!  mDNS ─ Found, Found ─ choice ─┴─► registrars: one loop each ─► report ─► supervisor, swarmd status
//!                                             engine: ping ────────┘
//! ```

mod choice;
mod course;
mod engine;
pub mod front;
mod own;
mod place;
mod registrar;
mod registrars;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::discovery::lan::Lan;
use crate::discovery::{Backend, Means, Registry, Spec, entry};
use crate::error::{Error, Kind, Result};
use crate::systemd::beat::Beats;
use crate::tls::{ClientTls, Peers};
use course::Course;
use engine::Pulse;
use own::Own;
use registrar::{Plan, REGISTER_DEADLINE};
use registrars::Terms;
pub use report::Report;
use report::printed;

/// Where the engine is to be registered.
pub struct Places {
    /// By name: what the configuration says.
    fixed: Vec<(String, Backend)>,
    /// Whom to look for on the LAN.
    lan: Option<(Lan, Terms)>,
}

impl Places {
    /// After the configuration. `hosted` is the registry of this process, if it has one; `lan` is there if managers
    /// may be looked for.
    ///
    /// Errors: malformed addresses, certificates that cannot be read.
    pub fn of(config: &Config, hosted: Option<&Registry>, lan: Option<&Lan>) -> Result<Places> {
        let url = config.discovery.url.as_deref().unwrap_or_default();
        let means = Means { hosted, ..Means::of(config)? };
        let spec = Spec::parse(url)?;
        let Spec::Token { registry: None, token } = &spec else {
            let backend = Backend::open(&spec, &means)?;
            return Ok(Places { fixed: vec![(scheme_of(url), backend)], lan: None });
        };
        let mut fixed = Vec::new();
        if hosted.is_some() {
            fixed.push(("this manager".to_string(), Backend::open(&spec, &means)?));
        }
        for manager in &config.discovery.managers {
            fixed.push((manager.clone(), Backend::at_manager(manager, token, &means)?));
        }
        let looks = config.discovery.managers.is_empty() && Own::of(&config.agent)?.is_for_others();
        let terms = Terms { token: token.clone(), tls: ClientTls::towards(config, Peers::FoundManagers)? };
        Ok(Places { fixed, lan: lan.filter(|_| looks).map(|lan| (lan.clone(), terms)) })
    }

    fn take_registrations(&self) -> bool {
        self.fixed.iter().all(|(_, backend)| backend.takes_registrations())
    }
}

fn scheme_of(url: &str) -> String {
    crate::config::local::scheme(url).to_string()
}

/// The agent at work, seen from outside.
pub struct Running {
    task: JoinHandle<()>,
    reports: watch::Receiver<Option<Report>>,
}

/// Starts the agent. `tls` is used for the ping of the engine, `file` is where `swarmd status` finds how it stands.
pub fn start(
    config: &Config,
    places: Places,
    tls: Option<ClientTls>,
    file: PathBuf,
    beats: &Beats,
    cancel: &CancellationToken,
) -> Running {
    let (sender, reports) = watch::channel(None);
    let (config, beats, cancel) = (config.clone(), beats.clone(), cancel.clone());
    let file = report::keep_file(file, reports.clone());
    let task = tokio::spawn(async move {
        let work = async move {
            if let Err(error) = run(&config, places, tls, &beats, cancel, &sender).await {
                tracing::error!("the agent cannot run: {error}");
            }
        };
        tokio::join!(work, file);
    });
    Running { task, reports }
}

impl Running {
    /// Ends when the first registration was attempted, well or badly: a registry that is down must not keep
    /// the agent from being ready.
    pub async fn first_attempt(&mut self) {
        let attempted = self.reports.wait_for(|report| report.as_ref().is_some_and(|r| r.begun));
        let _ = timeout(REGISTER_DEADLINE, attempted).await;
    }

    /// One line for the supervisor.
    pub fn status(&self) -> String {
        self.reports
            .borrow()
            .as_ref()
            .map_or_else(|| "agent: starting".to_string(), |r| format!("agent: {}", r.text))
    }

    /// Ends when the entry was taken back everywhere, after `cancel`.
    pub async fn stopped(self) {
        let _ = self.task.await;
    }
}

/// Registers `agent.advertise` at all places at each heartbeat until `cancel`, then withdraws it.
///
/// Errors: only an `advertise` that is missing or malformed. What fails later is retried.
async fn run(
    config: &Config,
    places: Places,
    tls: Option<ClientTls>,
    beats: &Beats,
    cancel: CancellationToken,
    reports: &watch::Sender<Option<Report>>,
) -> Result<()> {
    let beat = beats.join("the agent");
    let own = Own::of(&config.agent)?;
    let front = config.agent.front.as_ref().map(ToString::to_string);
    let heartbeat = config.discovery.heartbeat;
    let plan = Plan { heartbeat, ttl: config.discovery.ttl, own, front };
    let report = |report| drop(reports.send_replace(Some(report)));
    if !places.take_registrations() {
        let error = Error::us(Kind::Unsupported, "not implemented in this discovery service").advise(
            "nodes:// and file:// lists are written by hand; engines join through token:// or a store",
        );
        tracing::warn!("{} cannot be registered: {error}", plan.own);
        report(report::compose(&plan, &[], Some(&error), &Pulse::default()));
        beat.within(Duration::MAX);
        cancel.cancelled().await;
        return Ok(());
    }
    let (entries, entry) = watch::channel(plan.own.fixed().cloned());
    let (pulses, pulse) = watch::channel(Pulse::default());
    // The front would not let the agent in: it is no manager. So it asks what is behind.
    let (_behind, asked) = match config.agent.front {
        Some(_) => {
            let (behind, asked) = watch::channel(Some(entry::parse(&config.agent.engine)?));
            (Some(behind), asked)
        }
        None => (None, entry),
    };
    beat.within(config.agent.delay);
    tokio::select! {
        () = cancel.cancelled() => return Ok(()),
        () = wait_first(config, &plan, &report) => {}
    }
    let course = Course::new(config, plan, places, entries, pulse, &report, beats);
    let ping = beats.join("the look at the engine");
    tokio::select! {
        () = course.run(&beat, &cancel) => {}
        () = engine::watch(asked, tls, heartbeat, &ping, pulses) => {}
    }
    Ok(())
}

/// The one random pause that keeps a rack that was switched on from registering in the same second.
async fn wait_first(config: &Config, plan: &Plan, report: &impl Fn(Report)) {
    let delay = config.agent.delay;
    if delay.is_zero() {
        return;
    }
    let pause = delay.mul_f64(fastrand::f64());
    let shown = printed(pause);
    tracing::info!("Add a random delay {shown} to avoid synchronized registration");
    let silent = report::compose(plan, &[], None, &Pulse::default());
    report(Report { begun: true, text: format!("registering {} in {shown}", plan.own), ..silent });
    sleep(pause).await;
}

#[cfg(test)]
mod tests;
