//! Which engine builds for which client.
//!
//! BuildKit's tunnels carry HTTP/2 that we do not look into: nothing tells which of them belong to one build. So
//! all of a client go to one engine, from its first tunnel on until none has been open for `KEPT`: one *burst*.
//! Pure: the time comes in as an argument, and whether an engine is still good is the caller's to know.

use std::collections::HashMap;
use std::time::Duration;

/// How long a client keeps its engine after its last tunnel ended: the engine has its build cache.
pub const KEPT: Duration = Duration::from_secs(3600);
/// Clients remembered without an open tunnel. Those with one are as many as connections at most.
const REMEMBERED: usize = 1024;

/// The bursts of all clients. Times are since any fixed moment.
#[derive(Debug, Default)]
pub struct Builders {
    bursts: HashMap<String, Burst>,
    next: u64,
}

#[derive(Debug)]
struct Burst {
    number: u64,
    addr: String,
    open: usize,
    /// When the last tunnel came or went.
    last: Duration,
}

impl Burst {
    fn lasts(&self, now: Duration) -> bool {
        self.open > 0 || now.saturating_sub(self.last) < KEPT
    }
}

/// One open tunnel; give it back with `end`.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    client: String,
    burst: u64,
}

impl Builders {
    /// Address of the engine that builds for a client, if it has one now.
    pub fn of(&self, client: &str, now: Duration) -> Option<&str> {
        self.bursts.get(client).filter(|b| b.lasts(now)).map(|b| b.addr.as_str())
    }

    /// Address of the engine that has tunnels of a client open, so that its images may change at any moment.
    pub fn busy(&self, client: &str) -> Option<&str> {
        self.bursts.get(client).filter(|b| b.open > 0).map(|b| b.addr.as_str())
    }

    /// A tunnel to an engine opens. Another engine than before begins a new burst: tunnels to the old one, which
    /// may still end, no longer count.
    pub fn begin(&mut self, client: &str, addr: &str, now: Duration) -> Ticket {
        self.make_room(client, now);
        self.next += 1;
        let new = Burst { number: self.next, addr: addr.to_string(), open: 0, last: now };
        let burst = match self.bursts.get_mut(client) {
            Some(burst) if burst.addr == addr => burst,
            _ => self.bursts.entry(client.to_string()).insert_entry(new).into_mut(),
        };
        burst.open += 1;
        burst.last = now;
        Ticket { client: client.to_string(), burst: burst.number }
    }

    /// A tunnel has ended.
    pub fn end(&mut self, ticket: &Ticket, now: Duration) {
        if let Some(burst) = self.bursts.get_mut(&ticket.client).filter(|b| b.number == ticket.burst) {
            burst.open = burst.open.saturating_sub(1);
            burst.last = now;
        }
    }

    /// Forgets what is over, and of the rest the longest idle if a new client would be one too many.
    fn make_room(&mut self, client: &str, now: Duration) {
        if self.bursts.contains_key(client) || self.bursts.len() < REMEMBERED {
            return;
        }
        self.bursts.retain(|_, b| b.lasts(now));
        if self.bursts.len() >= REMEMBERED {
            let idle = self.bursts.iter().filter(|(_, b)| b.open == 0);
            if let Some(oldest) = idle.min_by_key(|(_, b)| b.last).map(|(client, _)| client.clone()) {
                self.bursts.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_keeps_its_engine_while_tunnels_are_open_and_a_while_longer() {
        let mut builders = Builders::default();
        assert_eq!(builders.of("c", START), None);
        let (first, second) = (builders.begin("c", "a:1", START), builders.begin("c", "a:1", START));
        assert_eq!((builders.of("c", START), builders.of("other", START)), (Some("a:1"), None));
        builders.end(&first, START);
        let days = START + KEPT * 72;
        assert_eq!(builders.of("c", days), Some("a:1"), "one is still open");
        builders.end(&second, days);
        assert_eq!(builders.of("c", days + KEPT - SECOND), Some("a:1"));
        assert_eq!(builders.of("c", days + KEPT), None);
    }

    #[test]
    fn the_engine_is_busy_only_while_tunnels_are_open() {
        let mut builders = Builders::default();
        let ticket = builders.begin("c", "a:1", START);
        assert_eq!(builders.busy("c"), Some("a:1"));
        builders.end(&ticket, START);
        assert_eq!((builders.busy("c"), builders.of("c", START)), (None, Some("a:1")));
    }

    #[test]
    fn tunnels_to_an_engine_that_was_replaced_do_not_count() {
        let mut builders = Builders::default();
        let lost = builders.begin("c", "a:1", START);
        let now = builders.begin("c", "b:1", START);
        builders.end(&lost, START);
        assert_eq!(builders.busy("c"), Some("b:1"));
        let back = builders.begin("c", "a:1", START);
        builders.end(&lost, START);
        builders.end(&now, START);
        assert_eq!(builders.busy("c"), Some("a:1"), "nor when the client is back on it");
        builders.end(&back, START);
        assert_eq!(builders.busy("c"), None);
    }

    #[test]
    fn the_longest_idle_are_forgotten_first_and_never_an_open_one() {
        let mut builders = Builders::default();
        builders.begin("open", "a:1", Duration::ZERO);
        for i in 0..5 * REMEMBERED {
            let now = START + SECOND * u32::try_from(i).unwrap() / 10;
            let ticket = builders.begin(&format!("c{i}"), "a:1", now);
            builders.end(&ticket, now);
            assert!(builders.bursts.len() <= REMEMBERED);
        }
        assert_eq!(builders.busy("open"), Some("a:1"));
        let last = 5 * REMEMBERED - 1;
        let now = START + SECOND * u32::try_from(last).unwrap() / 10;
        assert!(builders.of(&format!("c{last}"), now).is_some() && builders.of("c0", now).is_none());
    }
}
