//! The life of an engine as a pure machine: results of calls in, states and pauses out.
//!
//! ```text
//!  Pending ──validated──► Healthy ──failures reach the limit──► Unhealthy
//!     ▲                      ▲                                     │
//!     │                      └───────────── any success ───────────┘
//!     └── another engine answers at the address
//!  any ──left discovery──► Disconnected
//! ```

use std::time::Duration;

/// States, with the words of `docker info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum State {
    Pending,
    Healthy,
    Unhealthy,
    Disconnected,
}

impl State {
    /// The word that `docker info` shows.
    pub fn word(self) -> &'static str {
        match self {
            State::Pending => "Pending",
            State::Healthy => "Healthy",
            State::Unhealthy => "Unhealthy",
            State::Disconnected => "Disconnected",
        }
    }
}

/// What a result changed, for events and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// First validation.
    Connected,
    /// Healthy again after an outage.
    Reconnected,
    /// Lost: too many failures in a row, or removed.
    Lost,
}

/// First pause after a failure; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between two attempts: an engine that comes back is seen within about this time.
const LONGEST_PAUSE: Duration = Duration::from_millis(2500);

/// State, consecutive failures, and the last error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    state: State,
    failures: u32,
    limit: u32,
    error: Option<String>,
}

impl Machine {
    /// A machine in state Pending. `limit` is `engine-failure-retry`, at least 1.
    pub fn new(limit: u32) -> Machine {
        Machine { state: State::Pending, failures: 0, limit: limit.max(1), error: None }
    }

    /// `engine-failure-retry` is this from now on.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit.max(1);
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The last error, as long as it is not overcome.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// 0 to 100; 0 unless Healthy. One failed contact out of three leaves 67.
    pub fn health(&self) -> i64 {
        match self.state {
            State::Healthy => 100 - i64::from(self.failures.min(self.limit)) * 100 / i64::from(self.limit),
            _ => 0,
        }
    }

    /// Everything was read and made sense.
    pub fn validated(&mut self) -> Option<Transition> {
        let before = self.state;
        self.state = State::Healthy;
        self.clear();
        match before {
            State::Pending => Some(Transition::Connected),
            State::Unhealthy => Some(Transition::Reconnected),
            State::Healthy | State::Disconnected => None,
        }
    }

    /// A call was answered. A Pending or Unhealthy engine needs `validated` to be Healthy.
    pub fn succeeded(&mut self) {
        if self.state == State::Healthy {
            self.clear();
        }
    }

    /// A call failed.
    pub fn failed(&mut self, error: impl Into<String>) -> Option<Transition> {
        self.failures = self.failures.saturating_add(1);
        self.error = Some(error.into());
        if self.state == State::Healthy && self.failures >= self.limit {
            self.state = State::Unhealthy;
            return Some(Transition::Lost);
        }
        None
    }

    /// Another engine answers at this address: back to the beginning.
    pub fn replaced(&mut self, error: impl Into<String>) {
        self.state = State::Pending;
        self.error = Some(error.into());
    }

    /// It left discovery.
    pub fn removed(&mut self) -> Option<Transition> {
        let known = self.state != State::Pending && self.state != State::Disconnected;
        self.state = State::Disconnected;
        known.then_some(Transition::Lost)
    }

    /// How long to wait before the next attempt, given a random `jitter` in 0..=1.
    pub fn pause(&self, jitter: f64) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(8));
        doubled.min(LONGEST_PAUSE).mul_f64(0.75 + 0.25 * jitter.clamp(0.0, 1.0))
    }

    fn clear(&mut self) {
        self.failures = 0;
        self.error = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_make_a_healthy_engine_unhealthy() {
        let mut m = Machine::new(3);
        assert_eq!(m.failed("down"), None);
        assert_eq!((m.state(), m.health()), (State::Pending, 0));
        assert_eq!(m.validated(), Some(Transition::Connected));
        assert_eq!((m.failed("a"), m.health()), (None, 67));
        assert_eq!((m.failed("b"), m.health()), (None, 34));
        assert_eq!((m.failed("c"), m.health()), (Some(Transition::Lost), 0));
        assert_eq!((m.failed("d"), m.error()), (None, Some("d")));
        m.succeeded();
        assert_eq!(
            m.state(),
            State::Unhealthy,
            "a ping alone does not make it healthy: its state must be read first"
        );
        assert_eq!(m.validated(), Some(Transition::Reconnected));
        assert_eq!((m.health(), m.error()), (100, None));
    }

    #[test]
    fn one_success_forgives_earlier_failures() {
        let mut m = Machine::new(2);
        m.validated();
        m.failed("x");
        m.succeeded();
        assert_eq!(m.failed("y"), None);
        assert_eq!(m.state(), State::Healthy);
    }

    #[test]
    fn removal_is_a_loss_only_of_what_was_known() {
        let mut m = Machine::new(3);
        assert_eq!(m.removed(), None);
        let mut m = Machine::new(3);
        m.validated();
        assert_eq!(m.removed(), Some(Transition::Lost));
        assert_eq!(m.removed(), None);
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut m = Machine::new(3);
        let mut last = Duration::ZERO;
        for _ in 0..50 {
            m.failed("x");
            assert!(m.pause(1.0) >= last && m.pause(1.0) <= LONGEST_PAUSE && m.pause(0.0) > Duration::ZERO);
            last = m.pause(1.0);
        }
    }
}
