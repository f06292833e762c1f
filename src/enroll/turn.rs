//! When this machine's certificate is looked after next.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;

/// Twice this is the pause after a first failure.
const FIRST: Duration = Duration::from_secs(5);

/// When something may be tried, and how often it has failed since it last went well.
pub struct Turn {
    next: Instant,
    failures: u32,
}

impl Turn {
    /// At once.
    pub fn now() -> Turn {
        Turn { next: Instant::now(), failures: 0 }
    }

    /// Whether it may be tried now.
    pub fn has_come(&self) -> bool {
        Instant::now() >= self.next
    }

    /// It went well; the next time comes after a pause.
    pub fn went_well(&mut self, pause: Duration) {
        *self = Turn { next: Instant::now() + pause, failures: 0 };
    }

    /// The pause doubles with each failure, up to the longest. Told now and then, not each time; and one manager that
    /// starts anew is nothing to wake anybody for.
    pub fn failed(&mut self, longest: Duration, error: &Error) {
        self.failures = self.failures.saturating_add(1);
        self.next = Instant::now() + (FIRST * 2_u32.saturating_pow(self.failures.min(10))).min(longest);
        match self.failures {
            1 => tracing::debug!("the certificate was not looked after: {error}"),
            n if n.is_power_of_two() => tracing::warn!("the certificate could not be looked after: {error}"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[tokio::test(start_paused = true)]
    async fn failures_slow_down_up_to_the_longest_pause() {
        let longest = Duration::from_secs(30);
        let mut turn = Turn::now();
        assert!(turn.has_come());
        for pause in [10, 20, 30, 30] {
            turn.failed(longest, &Error::us(Kind::Internal, "no"));
            tokio::time::advance(Duration::from_secs(pause - 1)).await;
            assert!(!turn.has_come(), "{pause}");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(turn.has_come(), "{pause}");
        }
        turn.went_well(Duration::from_secs(5));
        turn.failed(longest, &Error::us(Kind::Internal, "no"));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(turn.has_come(), "as after a first failure");
    }
}
