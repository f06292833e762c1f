//! The agent's one loop: it takes up what changes (managers, the engine, the addresses of this machine) and reports.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::agent::Places;
use crate::agent::engine::Pulse;
use crate::agent::place::Place;
use crate::agent::registrar::Plan;
use crate::agent::registrars::{Registrars, Terms};
use crate::agent::report::{self, Report, printed};
use crate::config::Config;
use crate::discovery::lan::interfaces::{self, Address};
use crate::discovery::lan::{Browser, Found, search};
use crate::discovery::{Backend, Entry};
use crate::error::Error;
use crate::systemd::beat::{Beat, Beats};

/// While a manager is missing, mDNS is asked this often.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How often the agent looks whether its machine has another address.
const LOOK_AT_OWN: Duration = Duration::from_secs(5);

/// What the loop holds.
pub(super) struct Course<'a, R> {
    config: &'a Config,
    plan: Plan,
    registrars: Registrars,
    fixed: Vec<(String, Backend)>,
    search: Option<(Browser, Terms)>,
    /// Why there is nowhere to register.
    problem: Option<Error>,
    /// Where the engine is told to be, for the ping.
    entries: watch::Sender<Option<Entry>>,
    pulse: watch::Receiver<Pulse>,
    own: Vec<Address>,
    report: &'a R,
}

impl<'a, R: Fn(Report)> Course<'a, R> {
    pub(super) fn new(
        config: &'a Config,
        plan: Plan,
        places: Places,
        entries: watch::Sender<Option<Entry>>,
        pulse: watch::Receiver<Pulse>,
        report: &'a R,
        beats: &Beats,
    ) -> Course<'a, R> {
        Course {
            config,
            registrars: Registrars::new(plan.clone(), beats.clone()),
            plan,
            fixed: places.fixed,
            search: places.lan.map(|(lan, terms)| (lan.browse(&terms.token), terms)),
            problem: None,
            entries,
            pulse,
            own: interfaces::here(&[]),
            report,
        }
    }

    /// Registers until cancelled, then withdraws.
    pub(super) async fn run(mut self, beat: &Beat, cancel: &CancellationToken) {
        let every = printed(self.plan.heartbeat);
        tracing::info!(addr = %self.plan.own, "Registering on the discovery service every {every}...");
        for (name, backend) in std::mem::take(&mut self.fixed) {
            self.registrars.add(&name, Place::Listed(backend));
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.attend(beat) => {}
        }
        beat.within(Duration::MAX); // the drain has a deadline of its own
        self.registrars.leave().await;
    }

    /// Takes up whatever changes, and reports. Never ends.
    async fn attend(&mut self, beat: &Beat) {
        let patience = sleep(search::PATIENCE);
        tokio::pin!(patience);
        let (mut again, mut at_own) = (every(LOOK_AGAIN), every(LOOK_AT_OWN));
        let mut searched = false;
        loop {
            beat.within(LOOK_AT_OWN);
            self.judge(searched);
            tokio::select! {
                () = self.registrars.changed() => {}
                _ = self.pulse.changed() => {}
                () = &mut patience, if !searched => searched = true,
                (found, terms) = news(&mut self.search) => self.registrars.follow(&terms, found),
                _ = at_own.tick() => self.look_at_own(),
                _ = again.tick() => self.look_again(),
            }
            if let Some((_, terms)) = &self.search {
                self.registrars.sweep(terms);
            }
        }
    }

    /// Says how things stand now.
    fn judge(&mut self, searched: bool) {
        let places = self.registrars.look();
        if !places.is_empty() {
            self.problem = None;
        } else if searched && self.problem.is_none() {
            let nobody = search::nobody(&self.config.advertise, search::PATIENCE);
            tracing::error!("{} could not be registered: {nobody}; still looking", self.plan.own);
            self.problem = Some(nobody);
        }
        if let Some(entry) = places.iter().find_map(|p| p.standing.entry.clone()) {
            self.entries.send_if_modified(|before| before.replace(entry.clone()) != Some(entry));
        }
        let engine = self.pulse.borrow_and_update().clone();
        (self.report)(report::compose(&self.plan, &places, self.problem.as_ref(), &engine));
    }

    /// Another lease, or the network is up at last: the way to every manager may be another one.
    fn look_at_own(&mut self) {
        let now = interfaces::here(&[]);
        if self.own != now {
            self.own = now;
            self.registrars.kick();
        }
    }

    fn look_again(&self) {
        if let Some((browser, _)) = &self.search
            && self.registrars.is_incomplete()
        {
            browser.look_again();
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// The next news of the search; never, without one.
async fn news(search: &mut Option<(Browser, Terms)>) -> (Vec<Found>, Terms) {
    if let Some((browser, terms)) = search
        && browser.found.changed().await.is_ok()
    {
        return (browser.found.borrow_and_update().clone(), terms.clone());
    }
    std::future::pending().await
}
