//! The one loop that reads a list again and again: poll, hear of changes, retry, keep the last good list.
//!
//! It knows nothing of engines, nor of what it means when an entry is gone: see `roster`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::{self, Receiver, Sender};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::discovery::news::{self, News, Pace};
use crate::discovery::roster::Proof;
use crate::discovery::{Entry, backoff};
use crate::error::{Error, Kind, Result};
use crate::systemd::beat::Beat;

/// One read of a list takes at most this long; backends have shorter deadlines of their own where they
/// talk to somebody. This one is for a file on a dead network file system.
const LIST_DEADLINE: Duration = Duration::from_secs(30);

/// Longest pause before a list that could not be read is tried again: a store that comes back is seen soon.
const LONGEST_RETRY: Duration = Duration::from_secs(15);

/// How often a list is worth reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// It never changes: once read, it stays.
    Once,
    /// At each heartbeat, and whenever there are news.
    Heartbeat,
}

/// A list that can be read. One attempt each time, no retry inside.
pub trait Source: Send + Sync + 'static {
    /// Reads the whole list.
    fn read(&self) -> impl Future<Output = Result<Reading>> + Send;

    /// How often to read it.
    fn cadence(&self) -> Cadence;
}

/// What was read.
pub struct Reading {
    /// The whole list. Duplicates are kept.
    pub entries: Vec<Entry>,
    /// What is wrong with values that are no entries.
    pub ignored: Vec<String>,
    /// What it means not to be on the list.
    pub proof: Proof,
    /// Word of the next change.
    pub news: News,
}

impl Reading {
    /// A list that is right as it is.
    pub fn of(entries: Vec<Entry>) -> Reading {
        Reading { entries, ignored: Vec::new(), proof: Proof::Final, news: news::none() }
    }
}

/// What is known of the list.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The last list that could be read, duplicates and all; `None` before the first.
    pub entries: Option<Arc<[Entry]>>,
    /// What it means not to be on that list; there as soon as `entries` is.
    pub proof: Option<Proof>,
    /// Why the last attempt failed; `None` if it did not.
    pub last_error: Option<Error>,
    /// When the list was last read with success.
    pub last_ok: Option<Instant>,
    /// When it was last tried.
    pub last_try: Option<Instant>,
    /// How many different lists were delivered in a row: unchanged, nothing to do.
    pub deliveries: u64,
}

impl State {
    /// Takes in the outcome of one attempt. An error keeps the last list.
    fn take(&mut self, outcome: Result<(Vec<Entry>, Proof)>, now: Instant) {
        self.last_try = Some(now);
        match outcome {
            Err(error) => self.last_error = Some(error),
            Ok((entries, proof)) => {
                self.proof = Some(proof);
                self.last_error = None;
                self.last_ok = Some(now);
                if self.entries.as_deref() != Some(&entries) {
                    self.entries = Some(entries.into());
                    self.deliveries += 1;
                }
            }
        }
    }
}

/// Reads `source` from now on, at once and then at each `heartbeat`, until `cancel` or until nobody listens.
/// Failures are retried with growing pauses that never exceed the heartbeat.
pub fn watch<S: Source>(
    source: S,
    heartbeat: Duration,
    beat: Beat,
    cancel: CancellationToken,
) -> Receiver<State> {
    let (sender, receiver) = watch::channel(State::default());
    tokio::spawn(async move {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = sender.closed() => {}
            () = follow(&source, heartbeat, &beat, &sender) => {}
        }
    });
    receiver
}

async fn follow<S: Source>(source: &S, heartbeat: Duration, beat: &Beat, sender: &Sender<State>) {
    let (mut failures, mut pace, mut ignored) = (0_u32, Pace::default(), Vec::new());
    let longest_retry = LONGEST_RETRY.min(heartbeat);
    loop {
        beat.within(LIST_DEADLINE);
        let outcome = match timeout(LIST_DEADLINE, source.read()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::store(Kind::Timeout, "the list could not be read in time")),
        };
        log_news(sender.borrow().last_error.as_ref(), outcome.as_ref().err());
        failures = if outcome.is_ok() { 0 } else { failures.saturating_add(1) };
        let (outcome, news) = match outcome {
            Err(error) => (Err(error), news::none()),
            Ok(reading) => {
                log_ignored(&mut ignored, reading.ignored);
                (Ok((reading.entries, reading.proof)), reading.news)
            }
        };
        sender.send_modify(|state| state.take(outcome, Instant::now()));
        let pause = match (failures, source.cadence()) {
            // The sender must live on, or receivers would see a closed channel.
            (0, Cadence::Once) => {
                beat.within(Duration::MAX);
                std::future::pending().await
            }
            (0, Cadence::Heartbeat) => backoff::regular(heartbeat, fastrand::f64()),
            (n, _) => backoff::retry(n, longest_retry, fastrand::f64()),
        };
        beat.within(pause + longest_retry);
        pace.rest(pause, longest_retry, news).await;
    }
}

/// Warns of values that are no entries, once.
fn log_ignored(before: &mut Vec<String>, now: Vec<String>) {
    if !now.is_empty() && *before != now {
        tracing::warn!("Discovery: not an engine's address, ignored: {}", now.join("; "));
    }
    *before = now;
}

/// One line for each change, not for each attempt.
fn log_news(before: Option<&Error>, after: Option<&Error>) {
    match (before, after) {
        (_, Some(error)) if before != after => {
            tracing::warn!(KIND = error.kind.word(), "Discovery error: {error}");
        }
        (_, Some(error)) => tracing::debug!("Discovery error, still: {error}"),
        (Some(_), None) => tracing::info!("Discovery works again"),
        (None, None) => {}
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
