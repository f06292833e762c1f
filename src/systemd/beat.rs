//! Whether the loops of this process still turn: each beats, and whoever feeds the watchdog looks whether all did lately.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a loop with nothing to do beats all the same.
pub const PERIOD: Duration = Duration::from_secs(1);

/// The loops of a process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Beats(Arc<Mutex<Vec<Instant>>>);

/// One loop's.
#[derive(Debug, Clone)]
pub struct Beat {
    all: Beats,
    position: usize,
}

impl Beats {
    /// One loop more, from now on.
    pub fn join(&self) -> Beat {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Instant::now());
        Beat { all: self.clone(), position: all.len() - 1 }
    }

    /// Whether every loop beat within `limit`.
    pub fn are_all_within(&self, limit: Duration) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().all(|last| last.elapsed() <= limit)
    }
}

impl Beat {
    /// The loop turns.
    pub fn beat(&self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = all.get_mut(self.position) {
            *last = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_loop_that_is_stuck_is_enough() {
        let beats = Beats::default();
        let limit = PERIOD * 3;
        assert!(beats.are_all_within(limit));
        let (one, two) = (beats.join(), beats.join());
        tokio::time::sleep(PERIOD * 2).await;
        one.beat();
        tokio::time::sleep(PERIOD * 2).await;
        one.beat();
        assert!(!beats.are_all_within(limit), "the other did not");
        two.beat();
        assert!(beats.are_all_within(limit));
    }
}
