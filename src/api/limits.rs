//! How much one client may ask for: connections, handshakes, requests.
//!
//! Never of unix sockets: their permissions are limit enough. The counting is pure; `server` asks.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::access::{Caller, Standing};
use crate::api::call::Peer;
use crate::api::handshakes::Handshakes;
use crate::api::rates::Rates;
use crate::config;
use crate::error::{Error, Kind, Result};

/// Requests that a stranger may make at once, in seconds of its rate.
const STRANGERS_BURST: u32 = 10;

/// The counters of a manager.
pub struct Limits {
    set: config::Limits,
    /// Handshakes that may begin.
    pub handshakes: Handshakes,
    connections: Mutex<HashMap<IpAddr, u32>>,
    rates: Mutex<Rates>,
    /// Apart: anybody can be many strangers.
    strangers: Mutex<Rates>,
}

impl Limits {
    /// Counters for these limits.
    pub fn new(set: config::Limits) -> Limits {
        Limits {
            handshakes: Handshakes::new(set.handshakes as usize),
            set,
            connections: Mutex::default(),
            rates: Mutex::default(),
            strangers: Mutex::default(),
        }
    }

    /// What is set.
    pub fn set(&self) -> &config::Limits {
        &self.set
    }

    /// Counts a connection of this address until it is dropped. `None`: it has enough.
    pub fn connect(self: &Arc<Self>, address: IpAddr) -> Option<Connected> {
        let address = address.to_canonical();
        let mut all = self.connections();
        let open = all.entry(address).or_default();
        if *open >= self.set.connections_per_client {
            return None;
        }
        *open += 1;
        Some(Connected { limits: Arc::clone(self), address })
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request.
    ///
    /// # Errors
    /// 429, when there were too many.
    pub fn request(&self, peer: Peer, caller: &Caller, now: Instant) -> Result<()> {
        let address = match peer {
            Peer::Unix => return Ok(()),
            Peer::Tcp(addr) | Peer::Stranger(addr) | Peer::Behind(addr) => addr.ip().to_canonical(),
        };
        let (rates, key, rate, burst) = match caller.standing {
            // Managers pass on what they have counted themselves, and this machine's own are as those of the socket.
            Standing::Manager => return Ok(()),
            Standing::Trusted if address.is_loopback() => return Ok(()),
            Standing::Stranger => {
                let rate = self.set.strangers_per_second;
                (&self.strangers, address.to_string(), rate, rate.saturating_mul(STRANGERS_BURST))
            }
            Standing::User(_) => {
                (&self.rates, format!("user {}", caller.name), self.set.requests_per_second, self.set.burst)
            }
            Standing::Agent | Standing::Trusted => {
                (&self.rates, address.to_string(), self.set.requests_per_second, self.set.burst)
            }
        };
        let mut rates = rates.lock().unwrap_or_else(PoisonError::into_inner);
        match rates.take(&key, f64::from(rate), f64::from(burst), now) {
            true => Ok(()),
            false => Err(Error::client(Kind::Status(429), "too many requests")
                .advise("[limits] of the manager's configuration says how many a client may make")),
        }
    }
}

/// An open connection.
pub struct Connected {
    limits: Arc<Limits>,
    address: IpAddr,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut all = self.limits.connections();
        if let Some(open) = all.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                all.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tls::identity::Role;

    fn limits() -> Arc<Limits> {
        let set = config::Limits {
            connections_per_client: 2,
            requests_per_second: 10,
            burst: 3,
            strangers_per_second: 1,
            ..config::Limits::default()
        };
        Arc::new(Limits::new(set))
    }

    fn passed(limits: &Limits, peer: Peer, caller: &Caller, now: Instant) -> usize {
        (0..20).filter(|_| limits.request(peer, caller, now).is_ok()).count()
    }

    #[tokio::test]
    async fn requests_come_back_with_time() {
        let (limits, now) = (limits(), Instant::now());
        let peer = Peer::Tcp("10.0.0.1:5".parse().unwrap());
        let trusted = Caller::trusted();
        assert_eq!(passed(&limits, peer, &trusted, now), 3);
        assert_eq!(passed(&limits, peer, &trusted, now + Duration::from_millis(200)), 2);
        assert_eq!(passed(&limits, peer, &trusted, now + Duration::from_secs(3600)), 3);
        let other = Peer::Tcp("10.0.0.2:5".parse().unwrap());
        assert_eq!(passed(&limits, other, &trusted, now), 3, "another address");
        let mapped = Peer::Tcp("[::ffff:10.0.0.2]:6".parse().unwrap());
        assert_eq!(passed(&limits, mapped, &trusted, now), 0, "the same machine");
    }

    #[tokio::test]
    async fn users_count_by_name_and_strangers_apart() {
        let (limits, now) = (limits(), Instant::now());
        let peer = |n: u8| Peer::Tcp(std::net::SocketAddr::from(([10, 0, 0, n], 1)));
        let user = |name: &str| Caller {
            standing: Standing::User(Role::Admin),
            name: name.into(),
            serial: Some("1".into()),
        };
        assert_eq!(passed(&limits, peer(1), &user("a"), now), 3);
        assert_eq!(passed(&limits, peer(2), &user("a"), now), 0, "wherever it comes from");
        assert_eq!(passed(&limits, peer(2), &user("b"), now), 3);
        assert_eq!(passed(&limits, peer(1), &Caller::stranger(), now), 10);
        assert_eq!(passed(&limits, peer(1), &Caller::trusted(), now), 3);
        let local = Peer::Tcp("127.0.0.1:5".parse().unwrap());
        assert_eq!(passed(&limits, local, &Caller::trusted(), now), 20);
        assert_eq!(passed(&limits, local, &user("c"), now), 3);
        assert_eq!(passed(&limits, Peer::Unix, &Caller::trusted(), now), 20);
    }

    #[test]
    fn connections_are_counted_while_they_are_open() {
        let limits = limits();
        let address = "10.0.0.1".parse().unwrap();
        let (one, two) = (limits.connect(address), limits.connect(address));
        assert!(one.is_some() && two.is_some() && limits.connect(address).is_none());
        assert!(limits.connect("10.0.0.2".parse().unwrap()).is_some());
        drop(one);
        assert!(limits.connect(address).is_some());
        drop(two);
        assert!(limits.connections().is_empty());
    }
}
