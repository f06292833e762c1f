//! When this manager is the primary, and when it no longer is. Pure: the time is an argument.
//!
//! ```text
//!              won                    lease over, or found gone
//!   Candidate ─────► Primary ──────────────────────────────────────► Candidate
//!       │ ▲             ▲
//! lost  │ │ vacant      │ won
//!       ▼ │             │
//!     Replica ──────────┘
//! ```
//!
//! A store keeps one lease for all managers, and lets it end a TTL after it heard the last renewal. It heard it
//! later than we sent it, so a lease that we count from *before* we asked ends with us first. On top comes a
//! margin, for clocks that run at different rates and for what was under way. Nobody has to be asked for that:
//! a process that was stopped for an hour knows at its first look that its time is over.

use std::time::Duration;

/// A moment on the clock that tells how old a lease is.
pub type Moment = Duration;

/// How many times a lease is renewed within its TTL, if all goes well.
const RENEWALS: u32 = 3;
/// The part of a TTL by which we end before the store does: a quarter. Clocks may differ by as much.
const MARGIN: u32 = 4;
/// The part of a TTL after which a failed call to the store is made again.
const RETRIES: u32 = 12;

/// What a manager is to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It knows of no primary.
    Candidate,
    /// It leads.
    Primary,
    /// Another leads.
    Replica,
}

impl Role {
    /// As `docker info` shows it. The classic rows know two.
    pub fn word(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Candidate | Role::Replica => "replica",
        }
    }
}

/// Who leads, as far as this manager knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// What this manager is.
    pub role: Role,
    /// Where the primary's API is; ours if it is us.
    pub primary: Option<String>,
    /// The number of our own reign: the store's, each greater than all before. 0 without one.
    pub term: u64,
    /// Until when a primary may act.
    pub until: Moment,
}

impl Leadership {
    /// Before anything is known.
    pub const NONE: Leadership =
        Leadership { role: Role::Candidate, primary: None, term: 0, until: Moment::ZERO };
    /// Of a manager that has no others beside it.
    pub const ALONE: Leadership =
        Leadership { role: Role::Primary, primary: None, term: 0, until: Moment::MAX };

    /// Whether this manager may change anything.
    pub fn may_act(&self, now: Moment) -> bool {
        self.role == Role::Primary && now < self.until
    }

    /// The same without the claim of a primary whose time is over.
    pub fn at(self, now: Moment) -> Leadership {
        match self.role == Role::Primary && !self.may_act(now) {
            true => Leadership::NONE,
            false => self,
        }
    }
}

/// One manager's part in the election.
#[derive(Debug)]
pub struct Machine {
    /// The address under which it can be reached.
    me: String,
    state: Leadership,
    /// Of the lease that we hold, or will ask for.
    ttl: Duration,
    /// When the last renewal that the store granted was asked for.
    asked: Moment,
    /// Before this moment the lease is not ours to take.
    patience: Moment,
}

impl Machine {
    /// A manager that can be reached at `me`; `ttl` is what it wishes for.
    pub fn new(me: String, ttl: Duration) -> Machine {
        Machine { me, state: Leadership::NONE, ttl, asked: Moment::ZERO, patience: Moment::ZERO }
    }

    /// How things stand.
    pub fn leadership(&self) -> &Leadership {
        &self.state
    }

    /// The store gave us the lease: asked for at `asked`, for `ttl` from when it heard of it.
    pub fn won(&mut self, asked: Moment, term: u64, ttl: Duration) {
        self.ttl = ttl;
        self.state =
            Leadership { role: Role::Primary, primary: Some(self.me.clone()), term, until: Moment::ZERO };
        self.renewed(asked);
    }

    /// The store renewed our lease; asked at `asked`.
    pub fn renewed(&mut self, asked: Moment) {
        self.patience = Moment::ZERO;
        if self.state.role == Role::Primary {
            self.asked = asked;
            self.state.until = self.state.until.max(asked + self.ttl - self.ttl / MARGIN);
        }
    }

    /// Another has the lease, or nobody. That we have it cannot be: that is what an earlier life of ours left.
    pub fn learned(&mut self, leader: Option<String>) {
        if leader.is_some() {
            self.patience = Moment::ZERO; // it has not forgotten, or all is lost already
        }
        let primary = leader.filter(|address| *address != self.me);
        let role = if primary.is_some() { Role::Replica } else { Role::Candidate };
        self.state = Leadership { role, primary, ..Leadership::NONE };
    }

    /// The store could not be asked. What we know of another primary stays: whoever is sent there in vain learns
    /// it there. But a store that comes back may have forgotten the lease of a primary that goes on by it, of which we
    /// need not even have heard. So a lease that is free then is not ours to take until that must have ended: after
    /// `lease`, which is what others may have been granted, or what we wish for if that is more.
    pub fn failed(&mut self, now: Moment, lease: Duration) {
        self.patience = now + self.ttl.max(lease);
    }

    /// The store answers, but may have changed unseen. Unlike `failed` that is waited for only once, lest somebody
    /// whose store never tells of changes waits for ever.
    pub fn unsure(&mut self, now: Moment, lease: Duration) {
        if self.patience.is_zero() {
            self.failed(now, lease);
        }
    }

    /// Our lease is gone, or we give it up.
    pub fn lost(&mut self) {
        self.state = Leadership::NONE;
    }

    /// Whether we still lead. If our time is over, that is so from now on.
    pub fn leads(&mut self, now: Moment) -> bool {
        self.state = std::mem::replace(&mut self.state, Leadership::NONE).at(now);
        self.state.role == Role::Primary
    }

    /// Whether the lease is ours to take, should it be free.
    pub fn may_take(&self, now: Moment) -> bool {
        now >= self.patience
    }

    /// When the lease is to be renewed next.
    pub fn renew_at(&self) -> Moment {
        self.asked + self.ttl / RENEWALS
    }

    /// How long after a failed call to the store the next one is made.
    pub fn retry_pause(&self) -> Duration {
        self.ttl / RETRIES
    }

    /// How long a change of the lease may go unnoticed, should the store not tell of it.
    pub fn look_pause(&self) -> Duration {
        self.ttl / RENEWALS
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
