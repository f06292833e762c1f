//! What all engines share, so that a manager that starts, or whose network blinks, storms neither them nor itself: how
//! many are read at once, and how often all together are pinged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Engines that are read from the beginning at once: those that do not answer must not keep others waiting long.
const CONNECTS: usize = 64;
/// Engines that may still be read from the beginning when details of others are: they may hang.
const FEW: usize = 4;
/// Engines whose containers' details are read at once.
const DETAILS: usize = 8;
/// With more engines than that, connections that are not in use are let go.
const MANY: usize = 100;
/// How often it is looked whether more than those are still to be read, or one of many was until just now, and how many
/// times.
const LOOK: Duration = Duration::from_millis(250);
const LOOKS: usize = 8;
/// Pauses between two pings of an engine that seems well: they find one that hangs without closing anything.
const SHORTEST_PING_PAUSE: Duration = Duration::from_secs(5);
/// The longest of them.
pub const LONGEST_PING_PAUSE: Duration = Duration::from_secs(60);
/// Pings of all engines together in a second. In a big cluster one that nobody calls is found late: as soon as it
/// is called it is suspected.
const PINGS: u64 = 16;

/// Many engines are asked on the beat of this: waking up costs more than a question.
const BEAT: Duration = Duration::from_secs(2);

/// What engines take in turns.
#[derive(Debug)]
pub struct Turns {
    /// Engines that are read from the beginning at once.
    pub connects: Semaphore,
    /// Engines whose containers' details are read at once.
    details: Arc<Semaphore>,
    /// How many engines there are.
    pub engines: AtomicUsize,
    begun: Instant,
    /// When one was read from the beginning, in milliseconds after that.
    read: AtomicU64,
}

/// Something of which there is only so much at once; until it is dropped.
pub type Turn = OwnedSemaphorePermit;

impl Default for Turns {
    fn default() -> Turns {
        Turns {
            connects: Semaphore::new(CONNECTS),
            details: Arc::new(Semaphore::new(DETAILS)),
            engines: AtomicUsize::new(0),
            begun: Instant::now(),
            read: AtomicU64::new(0),
        }
    }
}

impl Turns {
    /// A turn to read details. Those who wait to be read at all go first, but not for ever: some of them may hang. All
    /// wait for them at the same time, before their turn.
    pub async fn for_details(self: Arc<Self>) -> Option<Turn> {
        for _ in 0..LOOKS {
            let more_come = self.are_for_many() && self.since_read() < LOOK;
            if self.connects.available_permits() + FEW >= CONNECTS && !more_come {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        Arc::clone(&self.details).acquire_owned().await.ok()
    }

    /// Notes that one was read from the beginning.
    pub fn was_read(&self) {
        self.read
            .store(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn since_read(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.read.load(Ordering::Relaxed)))
    }

    /// Whether there are so many engines that idle connections to all of them are too many.
    pub fn are_for_many(&self) -> bool {
        self.engines.load(Ordering::Relaxed) > MANY
    }

    /// The moment after a pause, at which an engine is asked something since nothing happens.
    pub fn after(&self, pause: Duration) -> Instant {
        let moment = Instant::now() + pause;
        match self.are_for_many() {
            true => {
                let beats = (moment - self.begun).div_duration_f64(BEAT).ceil();
                self.begun + BEAT.mul_f64(beats)
            }
            false => moment,
        }
    }

    /// A pause between two pings: short, but all engines together get only so many in a second.
    pub fn ping_pause(&self) -> Duration {
        let engines = self.engines.load(Ordering::Relaxed) as u64;
        Duration::from_millis(engines * 1000 / PINGS).clamp(SHORTEST_PING_PAUSE, LONGEST_PING_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_are_asked_together() {
        let turns = Turns::default();
        let pauses: Vec<_> = (1..100).map(|n| Duration::from_millis(37 * n)).collect();
        let moments = || pauses.iter().map(|pause| turns.after(*pause) - Instant::now()).collect::<Vec<_>>();
        assert_eq!(moments(), pauses, "a few when they like");
        turns.engines.store(MANY + 1, Ordering::Relaxed);
        for (moment, pause) in moments().into_iter().zip(&pauses) {
            assert!(moment.subsec_nanos() == 0 && moment >= *pause && moment < *pause + BEAT, "{moment:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn engines_that_hang_delay_the_others_details_once() {
        let turns = Arc::new(Turns::default());
        let few = turns.connects.acquire_many(FEW as u32).await.unwrap();
        let details = || async { drop(Arc::clone(&turns).for_details().await.unwrap()) };
        let all = || join_all((0..100).map(|_| details()));
        let begun = Instant::now();
        all().await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "a few are not waited for");
        turns.engines.store(MANY + 1, Ordering::Relaxed);
        turns.was_read();
        all().await;
        assert_eq!(begun.elapsed(), LOOK, "but where there are many, until nobody comes any more");
        let more = turns.connects.acquire().await.unwrap();
        let begun = Instant::now();
        all().await;
        assert_eq!(begun.elapsed(), LOOK * LOOKS as u32, "all wait at the same time");
        let read = async {
            tokio::time::sleep(LOOK / 2).await;
            drop((few, more));
        };
        let begun = Instant::now();
        tokio::join!(all(), read);
        assert_eq!(begun.elapsed(), LOOK, "and go on when the others are read");
    }
}
