//! Whether the loops of this process still turn: each says when it will be heard of again at the latest, and whoever
//! feeds the watchdog looks whether one is overdue.
//!
//! That tells a loop that hangs: in a lock, in a call without an end, in a thread that nothing gets on. It does *not*
//! tell one that turns and achieves nothing; such trouble has an error, which the status shows.
//!
//! Every loop that others rely on joins, and allows itself all that its deadlines may add up to, or more: a daemon that
//! is well and is killed is worse than one that hangs for some minutes. Not here: what serves one request, and mDNS,
//! which is a hint.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a loop with nothing to do beats all the same.
pub const PERIOD: Duration = Duration::from_secs(1);

/// A loop that beats at each [`PERIOD`] and was not heard of for so long is stuck. What a loop adds to the time that
/// its own deadlines allow.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Saving one file takes less than this, or hangs. Minutes are no wonder: an SD card that an engine loads images onto
/// first writes those down. And no restart makes a disk faster.
pub const SAVING: Duration = Duration::from_secs(600);

/// The loops of a process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Beats(Arc<Mutex<Loops>>);

#[derive(Debug, Default)]
struct Loops {
    next: u64,
    /// What each is, and when it is overdue.
    known: HashMap<u64, (String, Instant)>,
}

/// One loop's. Ends with it.
#[derive(Debug)]
pub struct Beat {
    all: Beats,
    number: u64,
}

impl Beats {
    /// One loop more, from now on. `name` is for people: `engine 10.0.0.2:2375`.
    pub fn join(&self, name: impl Into<String>) -> Beat {
        let mut loops = self.loops();
        let number = loops.next;
        loops.next += 1;
        loops.known.insert(number, (name.into(), Instant::now() + PATIENCE));
        drop(loops);
        Beat { all: self.clone(), number }
    }

    /// The name of a loop that is overdue, if there is one.
    pub fn stuck(&self) -> Option<String> {
        let (loops, now) = (self.loops(), Instant::now());
        loops.known.values().find(|(_, due)| *due < now).map(|(name, _)| name.clone())
    }

    fn loops(&self) -> MutexGuard<'_, Loops> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beat {
    /// The loop turns, and does so again at the next [`PERIOD`].
    pub fn beat(&self) {
        self.within(Duration::ZERO);
    }

    /// The loop turns; what it does next may take so long.
    pub fn within(&self, time: Duration) {
        if let Some((_, due)) = self.all.loops().known.get_mut(&self.number) {
            let now = Instant::now();
            // A pause of years, as a configuration may have it, is not worth watching.
            *due = now.checked_add(time.saturating_add(PATIENCE)).unwrap_or(now + PATIENCE * 100_000);
        }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.all.loops().known.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_loop_that_is_stuck_is_enough() {
        let beats = Beats::default();
        assert_eq!(beats.stuck(), None);
        let (one, two) = (beats.join("one"), beats.join("two"));
        tokio::time::sleep(PATIENCE * 2 / 3).await;
        one.beat();
        tokio::time::sleep(PATIENCE * 2 / 3).await;
        one.beat();
        assert_eq!(beats.stuck().as_deref(), Some("two"));
        two.within(PATIENCE);
        tokio::time::sleep(PATIENCE * 3 / 2).await;
        assert_eq!(beats.stuck().as_deref(), Some("one"), "the other said that it takes longer");
        drop(one);
        assert_eq!(beats.stuck(), None, "who has ended is not stuck");
        two.within(Duration::MAX);
        assert_eq!(beats.stuck(), None);
    }
}
