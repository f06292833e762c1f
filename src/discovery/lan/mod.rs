//! Managers that are found by the token alone: DNS-SD service `_swarmd._tcp` on the local network.
//!
//! ```text
//!  manager: hosted tokens, listeners, interfaces ─► advertise ─► mDNS ─► browse ─► Found, Found, … :agent
//!                                      proof ◄──────── "do you know my token?" ─────── client
//! ```
//!
//! What is found is a hint and no more. A manager proves that it knows the token before it is told (`proof`),
//! and with `[tls]` its certificate must come from the CA. Nothing here decides with whom an engine registers:
//! that is the agent's affair.

pub mod advert;
pub mod advertise;
pub mod browse;
pub mod client;
pub mod interfaces;
pub mod proof;
pub mod search;
pub mod seen;

use mdns_sd::{IfKind, IfPredicate, ServiceDaemon};

use crate::config;
use crate::error::{Error, Kind, Result};

pub use browse::Browser;
pub use seen::Found;

/// The DNS-SD type.
const SERVICE: &str = "_swarmd._tcp.local.";

/// The mDNS side of this process: one socket and one thread for all that it says and hears. Cheap to clone.
#[derive(Clone)]
pub struct Lan {
    daemon: ServiceDaemon,
    settings: config::Advertise,
    /// The instance by which this process goes: random, so that two managers of one name never clash.
    name: String,
}

impl Lan {
    /// Opens the sockets; sends nothing yet. `host` is the name of this machine, for people.
    ///
    /// Errors: the operating system refuses a thread or a poller.
    pub fn open(settings: &config::Advertise, host: &str) -> Result<Lan> {
        let failed = |e: mdns_sd::Error| Error::us(Kind::Internal, format!("mDNS cannot be used: {e}"));
        let daemon = ServiceDaemon::new().map_err(failed)?;
        let patterns = settings.interfaces.clone();
        let others = IfPredicate::new(move |i| !interfaces::takes(&patterns, &i.name, i.ip()));
        daemon.disable_interface(IfKind::Predicate(others)).map_err(failed)?;
        let name = format!("{}-{:08x}", label(host), fastrand::u32(..));
        Ok(Lan { daemon, settings: settings.clone(), name })
    }

    /// The full name of the instance.
    fn instance(&self) -> String {
        format!("{}.{SERVICE}", self.name)
    }
}

/// The first part of a host's name, as far as it is fit for a DNS label.
fn label(host: &str) -> String {
    let first = host.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let sound: String = first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    if sound.is_empty() { "swarmd".to_string() } else { sound }
}

#[cfg(test)]
mod tests;
