//! One place at which the engine is kept registered: heartbeat, retry, and the goodbye on stop.
//!
//! Each place has a loop of its own, so that one that is down holds up no other.

use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::agent::own::Own;
use crate::agent::place::Registrar;
use crate::clock;
use crate::discovery::news::{self, News, Pace};
use crate::discovery::{Entry, backoff};
use crate::error::{Error, Kind, Result};
use crate::systemd::beat::Beat;

/// Longest pause before a failed registration is tried again: a manager that comes back is joined soon.
const LONGEST_RETRY: Duration = Duration::from_secs(15);
/// What taking the entry back may cost the stop.
const WITHDRAW_DEADLINE: Duration = Duration::from_secs(3);
/// One registration takes at most this long, whatever the backend.
pub(super) const REGISTER_DEADLINE: Duration = Duration::from_secs(15);

/// What is registered, and how often.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) heartbeat: Duration,
    pub(super) ttl: Duration,
    pub(super) own: Own,
    /// Where the engine is served, if the agent does that.
    pub(super) front: Option<String>,
}

/// How things stand with one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Attempts so far.
    pub(super) attempts: u64,
    /// What is registered there, as far as is known.
    pub(super) entry: Option<Entry>,
    /// Why the last attempt failed, if it did.
    pub(super) error: Option<Error>,
    /// Unix seconds since when the last two are so.
    pub(super) since: i64,
}

impl Standing {
    /// Takes in the outcome of one attempt.
    fn take(&mut self, outcome: &Result<Entry>, now: i64) {
        self.attempts += 1;
        let before = (self.entry.clone(), self.error.clone());
        match outcome {
            Ok(entry) => (self.entry, self.error) = (Some(entry.clone()), None),
            Err(error) => self.error = Some(error.clone()),
        }
        if self.attempts == 1 || before != (self.entry.clone(), self.error.clone()) {
            self.since = now;
        }
    }
}

/// Registers until `cancel`, then withdraws. `kick`: try at once, things have changed. `tell` gets the standing
/// after each attempt.
pub(super) async fn serve<R: Registrar>(
    registrar: &R,
    plan: &Plan,
    kick: &Notify,
    beat: &Beat,
    cancel: &CancellationToken,
    tell: &watch::Sender<Standing>,
) {
    tokio::select! {
        () = cancel.cancelled() => {}
        () = keep_registered(registrar, plan, kick, beat, tell) => {}
    }
    // Also after failures only: an attempt whose answer was lost may well have registered.
    let last = tell.borrow().entry.clone();
    let Some(entry) = last.as_ref().or(plan.own.fixed()) else { return };
    match timeout(WITHDRAW_DEADLINE, registrar.withdraw(entry)).await {
        Ok(Ok(())) => tracing::info!("Withdrawn from the discovery service: {entry}"),
        Ok(Err(error)) => tracing::warn!("{entry} could not be withdrawn, its ttl will do it: {error}"),
        Err(_) => tracing::warn!("{entry} could not be withdrawn in time, its ttl will do it"),
    }
}

async fn keep_registered<R: Registrar>(
    registrar: &R,
    plan: &Plan,
    kick: &Notify,
    beat: &Beat,
    tell: &watch::Sender<Standing>,
) {
    let longest_retry = LONGEST_RETRY.min(plan.heartbeat);
    let (mut failures, mut pace) = (0_u32, Pace::default());
    loop {
        beat.within(REGISTER_DEADLINE + WITHDRAW_DEADLINE);
        let (outcome, news) = match attempt(registrar, plan).await {
            Ok((entry, news)) => (Ok(entry), news),
            Err(error) => (Err(error), news::none()),
        };
        let before = tell.borrow().clone();
        log_news(&before, &outcome, plan);
        tell.send_modify(|standing| standing.take(&outcome, clock::unix_seconds()));
        if let (Some(old), Ok(new)) = (&before.entry, &outcome)
            && old != new
        {
            // The machine's address has changed: nobody shall look for the engine at the old one.
            let _ = timeout(WITHDRAW_DEADLINE, registrar.withdraw(old)).await;
        }
        let pause = match outcome {
            Ok(_) => {
                failures = 0;
                backoff::regular(plan.heartbeat, fastrand::f64())
            }
            Err(_) => {
                failures = failures.saturating_add(1);
                backoff::retry(failures, longest_retry, fastrand::f64())
            }
        };
        beat.within(pause + longest_retry);
        tokio::select! {
            () = pace.rest(pause, longest_retry, news) => {}
            () = kick.notified() => failures = 0,
        }
    }
}

async fn attempt<R: Registrar>(registrar: &R, plan: &Plan) -> Result<(Entry, News)> {
    match timeout(REGISTER_DEADLINE, registrar.register(&plan.own, plan.ttl)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::store(Kind::Timeout, "the discovery service did not answer in time")),
    }
}

/// One line for each change, not for each heartbeat.
fn log_news(before: &Standing, outcome: &Result<Entry>, plan: &Plan) {
    let own = &plan.own;
    match outcome {
        Ok(entry) if before.error.is_none() && before.entry.as_ref() == Some(entry) => {
            tracing::debug!("Heartbeat of {entry}: as before");
        }
        Ok(entry) => tracing::info!("Registered on the discovery service: {entry}"),
        Err(error) if before.error.as_ref() == Some(error) => {
            tracing::debug!("{own} still could not be registered: {error}");
        }
        Err(error) => tracing::error!(kind = error.kind.word(), "{own} could not be registered: {error}"),
    }
}

#[cfg(test)]
#[path = "registrar_tests.rs"]
mod tests;
