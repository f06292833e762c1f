//! A bucket for each client: so many requests are left, and some come back with time. Pure: time comes in.
//!
//! Nobody gets a full bucket by having its own forgotten: forgotten are those that are full. When there are too many
//! others, newcomers share one.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Clients whose rates are known at once.
const CLIENTS: usize = 4096;
/// So often it is looked for buckets that are full again: it takes a look at all.
const SWEEP: Duration = Duration::from_secs(1);

/// The buckets.
#[derive(Default)]
pub struct Rates {
    buckets: HashMap<String, Bucket>,
    /// That of all for whom there is no room.
    shared: Option<Bucket>,
    swept: Option<Instant>,
}

struct Bucket {
    left: f64,
    at: Instant,
    /// What comes back in a second, and the most that there is.
    rate: f64,
    burst: f64,
}

impl Rates {
    /// Takes one request of a client. Whether there was one left.
    pub fn take(&mut self, key: &str, rate: f64, burst: f64, now: Instant) -> bool {
        let new = || Bucket { left: burst, at: now, rate, burst };
        if !self.buckets.contains_key(key) {
            if self.buckets.len() >= CLIENTS {
                self.sweep(now);
            }
            if self.buckets.len() >= CLIENTS {
                return self.shared.get_or_insert_with(new).take(now);
            }
            self.buckets.insert(key.to_string(), new());
        }
        self.buckets.get_mut(key).is_none_or(|bucket| bucket.take(now))
    }

    /// Forgets those who have all their requests left, as if they had never come.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP) {
            self.swept = Some(now);
            self.buckets.retain(|_, bucket| bucket.filled(now) < bucket.burst);
        }
    }
}

impl Bucket {
    fn filled(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + since * self.rate).min(self.burst)
    }

    fn take(&mut self, now: Instant) -> bool {
        (self.left, self.at) = (self.filled(now), now);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_table_has_a_bound() {
        let mut rates = Rates::default();
        let now = Instant::now();
        for n in 0..3 * CLIENTS {
            let at = now + Duration::from_millis(n as u64);
            assert!(rates.take("busy", 1000.0, 1000.0, at));
            assert!(rates.take(&n.to_string(), 1.0, 1.0, at));
        }
        assert!(rates.buckets.len() <= CLIENTS && rates.buckets.contains_key("busy"));
        assert!(!rates.take(&(3 * CLIENTS - 1).to_string(), 1.0, 1.0, now));
    }

    #[tokio::test]
    async fn nobody_gets_more_by_coming_from_many_addresses() {
        let mut rates = Rates::default();
        let now = Instant::now();
        assert!(rates.take("one", 1.0, 2.0, now) && rates.take("one", 1.0, 2.0, now));
        for n in 0..2 * CLIENTS {
            rates.take(&n.to_string(), 1.0, 2.0, now);
        }
        assert_eq!(rates.buckets.len(), CLIENTS);
        assert!(!rates.take("one", 1.0, 2.0, now), "it is remembered");
        assert!(!rates.take("new", 1.0, 2.0, now), "newcomers share what is left of one bucket");
        let later = now + Duration::from_secs(60);
        assert!(rates.take("new", 1.0, 2.0, later) && rates.buckets.len() == 1);
    }
}
