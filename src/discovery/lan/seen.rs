//! The managers that were seen on the LAN: a pure fold of what mDNS reports, bounded whatever others send.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::discovery::lan::advert::Advert;
use crate::docker::endpoint::Endpoint;

/// Managers that are remembered at most: more than any LAN has, unless somebody plays.
const MOST_MANAGERS: usize = 64;
/// Addresses of one manager that are tried at most.
const MOST_ADDRESSES: usize = 8;

/// A manager as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The full name of its instance: who it is as long as it runs.
    pub instance: String,
    /// Where its API may be, the best guess first.
    pub addresses: Vec<Endpoint>,
    /// What it says of itself.
    pub advert: Advert,
}

impl Found {
    /// What people call it.
    pub fn label(&self) -> &str {
        label(&self.instance)
    }
}

/// What people call an instance: its name without the service.
pub fn label(instance: &str) -> &str {
    instance.split("._swarmd").next().unwrap_or_default()
}

/// All that were seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<String, Found>);

impl Seen {
    /// Takes in what a service says. The newest word counts: an instance whose address now belongs to another one
    /// was that manager before it was started anew.
    pub fn resolved(&mut self, instance: &str, ips: Vec<IpAddr>, port: u16, advert: Advert) {
        let addresses = dialled(ips, port, &advert);
        if addresses.is_empty() {
            self.0.remove(instance);
            return;
        }
        self.0.retain(|name, other| name == instance || !shares(&other.addresses, &addresses));
        if self.0.len() < MOST_MANAGERS || self.0.contains_key(instance) {
            let found = Found { instance: instance.to_string(), addresses, advert };
            self.0.insert(instance.to_string(), found);
        }
    }

    /// It said goodbye, or was not heard of for long.
    pub fn removed(&mut self, instance: &str) {
        self.0.remove(instance);
    }

    /// Forgets all but these.
    pub fn keep(&mut self, instances: &BTreeSet<String>) {
        self.0.retain(|instance, _| instances.contains(instance));
    }

    /// Those that host the token with this digest, all but `own`.
    pub fn with_token(&self, digest: &str, own: &str) -> Vec<Found> {
        let hosts = |f: &&Found| f.instance != own && f.advert.tokens.iter().any(|t| t == digest);
        self.0.values().filter(hosts).cloned().collect()
    }
}

fn shares(one: &[Endpoint], other: &[Endpoint]) -> bool {
    one.iter().any(|address| other.contains(address))
}

/// What to connect to: IPv4 first, since that is what works in most homes.
fn dialled(mut ips: Vec<IpAddr>, port: u16, advert: &Advert) -> Vec<Endpoint> {
    if let Some(api) = &advert.api {
        return vec![api.clone()];
    }
    ips.retain(|ip| !ip.is_unspecified() && !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()));
    ips.sort();
    ips.dedup();
    ips.truncate(MOST_ADDRESSES);
    ips.into_iter().map(|ip| Endpoint::Tcp { host: ip.to_string(), port }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advert(tokens: &[&str]) -> Advert {
        let tokens = tokens.iter().map(|t| t.to_string()).collect();
        Advert { tokens, tls: false, version: "2".into(), api: None }
    }

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    fn addresses(seen: &Seen, digest: &str) -> Vec<String> {
        let all = seen.with_token(digest, "me");
        all.iter()
            .map(|f| f.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn only_managers_of_the_token_and_never_oneself() {
        let mut seen = Seen::default();
        seen.resolved("a", ips(&["10.0.0.1"]), 3376, advert(&["x", "y"]));
        seen.resolved("b", ips(&["10.0.0.2"]), 3376, advert(&["y"]));
        seen.resolved("me", ips(&["10.0.0.3"]), 3376, advert(&["x", "y"]));
        assert_eq!(addresses(&seen, "x"), ["10.0.0.1:3376"]);
        assert_eq!(addresses(&seen, "y"), ["10.0.0.1:3376", "10.0.0.2:3376"]);
        seen.removed("a");
        assert_eq!(addresses(&seen, "y"), ["10.0.0.2:3376"]);
        seen.keep(&BTreeSet::from(["me".to_string()]));
        assert_eq!(addresses(&seen, "y"), [""; 0]);
    }

    #[test]
    fn addresses_change_and_the_best_comes_first() {
        let mut seen = Seen::default();
        seen.resolved("a", ips(&["2001:db8::1", "fe80::1", "10.0.0.1", "10.0.0.1"]), 1, advert(&["x"]));
        assert_eq!(addresses(&seen, "x"), ["10.0.0.1:1 [2001:db8::1]:1"]);
        seen.resolved("a", ips(&["10.0.0.9"]), 1, advert(&["x"]));
        assert_eq!(addresses(&seen, "x"), ["10.0.0.9:1"]);
        seen.resolved("a", ips(&["fe80::1"]), 1, advert(&["x"]));
        assert_eq!(addresses(&seen, "x"), [""; 0]);
        let api = Some(Endpoint::Tcp { host: "boss".into(), port: 7 });
        seen.resolved("a", ips(&["10.0.0.9"]), 1, Advert { api, ..advert(&["x"]) });
        assert_eq!(addresses(&seen, "x"), ["boss:7"]);
    }

    #[test]
    fn a_manager_that_was_started_anew_replaces_itself() {
        let mut seen = Seen::default();
        seen.resolved("boss-1", ips(&["10.0.0.1"]), 3376, advert(&["x"]));
        seen.resolved("boss-2", ips(&["10.0.0.1", "10.0.1.1"]), 3376, advert(&["x"]));
        assert_eq!(seen.with_token("x", "").len(), 1);
        assert_eq!(seen.with_token("x", "")[0].instance, "boss-2");
        seen.resolved("other", ips(&["10.0.0.1"]), 3377, advert(&["x"]));
        assert_eq!(seen.with_token("x", "").len(), 2, "another port is another manager");
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut seen = Seen::default();
        for i in 0..=255 {
            seen.resolved(&format!("m{i}"), ips(&[&format!("10.0.0.{i}")]), 1, advert(&["x"]));
        }
        let many: Vec<IpAddr> = (0..=255).map(|i| format!("10.1.0.{i}").parse().unwrap()).collect();
        seen.resolved("m1", many, 1, advert(&["x"]));
        let all = seen.with_token("x", "");
        assert_eq!(all.len(), MOST_MANAGERS);
        assert!(all.iter().all(|f| f.addresses.len() <= MOST_ADDRESSES));
    }
}
