//! The one loop of an election, over whichever store: take the lease or learn who has it, renew it, notice that it is
//! gone, give it up at the end.
//!
//! What follows from the answers is in `machine`; how a store keeps a lease is in the file of its name.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::election::machine::{Leadership, Machine, Moment};
use crate::election::{Clock, Role};
use crate::error::{Error, Kind, Result};
use crate::systemd::beat::Beat;

/// How long a store may take for one call, should the lease leave that time.
const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// Changes are not looked at more often than this: a store that tells of one at each question must not be
/// asked in a tight loop.
const BREATH: Duration = Duration::from_millis(50);

/// What came of asking for the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It is ours.
    Won {
        /// Greater than that of any reign before, on whichever manager.
        term: u64,
        /// How long the store keeps the lease from when it heard of us.
        ttl: Duration,
    },
    /// It is not.
    Lost {
        /// The address of who has it; `None` if nobody has it now.
        leader: Option<String>,
    },
}

/// One lease in one store, for one candidate. Calls may be dropped at any time; nothing in here retries.
pub trait Lock: Send + 'static {
    /// Takes the lease if it is free and `take` is set; else tells who has it.
    fn acquire(&mut self, take: bool) -> impl Future<Output = Result<Attempt>> + Send;
    /// Makes the lease last another TTL from when the store hears of it. `false`: it is not ours any more.
    fn renew(&mut self) -> impl Future<Output = Result<bool>> + Send;
    /// Gives up all that was taken, or asked for by a call that was dropped.
    fn release(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// How long who has the lease may count on it at least, whatever was asked for, as far as is known of this store.
    fn lease(&self) -> Duration;
    /// Ends when there may be something new since the last `acquire`.
    fn changed(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Takes part in the election until `cancel` fires; then gives up the lease.
pub async fn run<L: Lock>(
    lock: L,
    machine: Machine,
    clock: Clock,
    leadership: watch::Sender<Leadership>,
    beat: Beat,
    cancel: CancellationToken,
) {
    let mut runner = Runner { lock, machine, clock, leadership, beat, trouble: None, deaf: None };
    tokio::select! {
        () = runner.compete() => {}
        () = cancel.cancelled() => {}
    }
    runner.resign().await;
}

struct Runner<L> {
    lock: L,
    machine: Machine,
    clock: Clock,
    leadership: watch::Sender<Leadership>,
    beat: Beat,
    /// What the store failed with last, so that it is told once.
    trouble: Option<String>,
    /// Why it does not tell of changes, so that it is told once.
    deaf: Option<String>,
}

impl<L: Lock> Runner<L> {
    async fn compete(&mut self) {
        loop {
            self.turn();
            let asked = self.now();
            let take = self.machine.may_take(asked);
            match self.acquire(take).await {
                Ok(Attempt::Won { term, ttl }) => {
                    self.machine.won(asked, term, ttl);
                    self.publish();
                    self.lead().await;
                    self.resign().await;
                }
                Ok(Attempt::Lost { leader }) => {
                    let vacant = leader.is_none();
                    self.machine.learned(leader);
                    self.publish();
                    self.follow(vacant).await;
                }
                Err(error) => self.failed(&error).await,
            }
        }
    }

    /// Renews the lease until it is lost.
    async fn lead(&mut self) {
        while self.machine.leads(self.now()) {
            self.turn();
            self.until_renewal().await;
            let asked = self.now();
            if !self.machine.leads(asked) {
                break;
            }
            let left = self.machine.leadership().until.saturating_sub(asked).min(CALL_DEADLINE);
            match timeout(left, self.lock.renew()).await.unwrap_or_else(|_| Err(slow())) {
                Ok(true) => {
                    self.well();
                    self.machine.renewed(asked);
                    self.publish();
                }
                Ok(false) => self.machine.lost(),
                Err(error) => self.failed(&error).await,
            }
        }
        self.publish();
    }

    /// Until it turns again there are two calls to the store at most, and pauses that are less than a TTL together. Both
    /// are counted with something on top.
    fn turn(&self) {
        self.beat.within(CALL_DEADLINE * 3 + self.machine.look_pause() * 3);
    }

    /// Ends when it is time to renew, or the store says that something has changed.
    async fn until_renewal(&mut self) {
        let pause = self.machine.renew_at().saturating_sub(self.now());
        tokio::select! {
            () = sleep(pause) => {}
            told = self.lock.changed() => {
                let breath = if told.is_ok() { BREATH } else { self.machine.retry_pause() };
                self.hear(&told);
                sleep(breath.min(pause)).await;
            }
        }
    }

    /// Waits for news. A lease that nobody has while it is not ours to take is asked for again soon.
    async fn follow(&mut self, vacant: bool) {
        let pause = if vacant { self.machine.retry_pause() } else { self.machine.look_pause() };
        self.well();
        tokio::select! {
            () = sleep(pause) => {}
            told = self.lock.changed() => {
                self.hear(&told);
                match told {
                    Ok(()) => sleep(BREATH).await,
                    Err(_) => {
                        self.machine.unsure(self.now(), self.lock.lease());
                        sleep(self.pause()).await;
                    }
                }
            }
        }
    }

    async fn acquire(&mut self, take: bool) -> Result<Attempt> {
        timeout(CALL_DEADLINE, self.lock.acquire(take)).await.unwrap_or_else(|_| Err(slow()))
    }

    /// Gives up the lease, before anybody hears of it from the store.
    async fn resign(&mut self) {
        self.machine.lost();
        self.publish();
        // The store ends the lease by itself, only later.
        if let Err(error) = timeout(CALL_DEADLINE, self.lock.release()).await.unwrap_or_else(|_| Err(slow()))
        {
            self.note(&error);
        }
    }

    async fn failed(&mut self, error: &Error) {
        self.note(error);
        self.machine.failed(self.now(), self.lock.lease());
        sleep(self.pause()).await;
    }

    /// Managers that lost their store together do not come back in step.
    fn pause(&self) -> Duration {
        self.machine.retry_pause().mul_f64(1.0 - fastrand::f64() / 2.0)
    }

    fn note(&mut self, error: &Error) {
        let text = error.to_string();
        if self.trouble.as_ref() != Some(&text) {
            tracing::warn!(KIND = error.kind.word(), "Leader Election: {text}");
            self.trouble = Some(text);
        }
    }

    /// Takes in how it went with being told of changes. That the store answers otherwise does not mean that it tells.
    fn hear(&mut self, told: &Result<()>) {
        let text = told.as_ref().err().map(ToString::to_string);
        if let Some(text) = text.as_ref().filter(|text| self.deaf.as_ref() != Some(text)) {
            tracing::warn!(
                "Leader Election: the store does not tell of changes, so we look now and then: {text}"
            );
        }
        self.deaf = text;
    }

    fn well(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("Leader Election: the store answers again");
        }
    }

    fn now(&self) -> Moment {
        (self.clock)()
    }

    /// Tells everybody. Terms and roles that change are told to people, too.
    fn publish(&self) {
        let new = self.machine.leadership();
        self.leadership.send_if_modified(|old| {
            tell(old, new);
            let changed = old != new;
            old.clone_from(new);
            changed
        });
    }
}

fn tell(old: &Leadership, new: &Leadership) {
    match (old.role, new.role) {
        (Role::Primary, Role::Primary) if old.term == new.term => {}
        (_, Role::Primary) => {
            tracing::info!(TERM = new.term, "Leader Election: Cluster leadership acquired");
        }
        (Role::Primary, _) => tracing::info!(TERM = old.term, "Leader Election: Cluster leadership lost"),
        _ => {}
    }
    match &new.primary {
        Some(primary) if new.role == Role::Replica && old.primary != new.primary => {
            tracing::info!("New leader elected: {primary}");
        }
        _ => {}
    }
}

fn slow() -> Error {
    Error::store(Kind::Timeout, "the store does not answer in time")
        .advise("see whether it runs and can be reached from here")
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
