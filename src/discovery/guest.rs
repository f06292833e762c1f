//! Who asks a hosted list, and what that one may do beyond knowing its token.
//!
//! Without certificates of the cluster's own the token is all there is. With them it opens the list for reading; what
//! stands on it is decided by certificates: an agent's speaks for its own addresses, a manager's and an admin's for all.

use std::net::IpAddr;
use std::sync::Arc;

use crate::discovery::{Entry, Origin};
use crate::docker::endpoint::Endpoint;
use crate::error::{Error, Kind, Result};

/// Who asks.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Where it comes from.
    pub origin: Origin,
    /// What it may do.
    pub rights: Rights,
}

/// What somebody who knows the token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// Everything.
    All,
    /// Look, register and withdraw, whatever it is: `[pki] token-agents`.
    Entries,
    /// Look, and register what is its own.
    Own {
        /// The agent's name.
        name: String,
        /// Names and addresses in its certificate.
        hosts: Arc<[String]>,
    },
    /// Look.
    Look,
}

impl Guest {
    /// Of a manager without certificates of the cluster's own: what the token opens.
    pub fn by_token(origin: Origin) -> Guest {
        Guest { origin, rights: Rights::All }
    }

    /// Whether it may make tokens, or forget one with all its entries.
    ///
    /// # Errors
    /// `Kind::Permission`
    pub fn may_rule(&self) -> Result<()> {
        match self.rights {
            Rights::All => Ok(()),
            _ => Err(forbidden("tokens are made and forgotten by managers and admins only")
                .advise("do it on the manager's machine, or with the certificate of an admin")),
        }
    }

    /// Whether it may put this entry on a list, or take it off.
    ///
    /// # Errors
    /// `Kind::Permission`
    pub fn may_enter(&self, entry: &Entry) -> Result<()> {
        match &self.rights {
            Rights::All | Rights::Entries => Ok(()),
            Rights::Own { name, hosts } => match self.covers(hosts, entry) {
                true => Ok(()),
                false => Err(forbidden(format!(
                    "the certificate of agent {name} is for {}, not for {entry}",
                    hosts.join(" and ")
                ))
                .advise("it follows when the machine gets another address; set agent.advertise to one that is in it")),
            },
            Rights::Look => Err(forbidden("registering an engine takes the certificate of its agent").advise(
                "`swarmd join-token agent` on the manager prints the line that gets one; with [pki] token-agents = true \
                 there the token is enough",
            )),
        }
    }

    fn covers(&self, hosts: &[String], entry: &Entry) -> bool {
        match entry {
            Endpoint::Tcp { host, .. } => hosts.iter().any(|own| is_same(own, host)),
            Endpoint::Unix(_) => self.origin.is_local(),
        }
    }
}

/// Addresses may be spelt in several ways.
fn is_same(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one.to_canonical() == other.to_canonical(),
        (Err(_), Err(_)) => one.eq_ignore_ascii_case(other),
        _ => false,
    }
}

fn forbidden(text: impl Into<String>) -> Error {
    Error::client(Kind::Permission, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::entry;

    #[test]
    fn an_agent_speaks_for_its_own_addresses() {
        let hosts: Arc<[String]> = ["10.0.0.2", "pi2", "fd00::2"].map(String::from).into();
        let own = Rights::Own { name: "ab".into(), hosts };
        for (entry, origin, fine) in [
            ("10.0.0.2:2376", Origin::Verified, true),
            ("10.0.0.2:1", Origin::Verified, true),
            ("PI2:2376", Origin::Verified, true),
            ("[fd00:0::2]:2376", Origin::Verified, true),
            ("[::ffff:10.0.0.2]:2376", Origin::Verified, true),
            ("10.0.0.3:2376", Origin::Verified, false),
            ("pi2.example:2376", Origin::Verified, false),
            ("pi:2376", Origin::Verified, false),
            ("unix:///s", Origin::Loopback, true),
            ("unix:///s", Origin::Verified, false),
        ] {
            let guest = Guest { origin, rights: own.clone() };
            assert_eq!(guest.may_enter(&entry::parse(entry).unwrap()).is_ok(), fine, "{entry} {origin:?}");
            assert!(guest.may_rule().is_err());
        }
    }

    #[test]
    fn the_others() {
        let entry = entry::parse("10.0.0.2:2376").unwrap();
        for (rights, enters, rules) in
            [(Rights::All, true, true), (Rights::Entries, true, false), (Rights::Look, false, false)]
        {
            let guest = Guest { origin: Origin::Loopback, rights: rights.clone() };
            assert_eq!(
                (guest.may_enter(&entry).is_ok(), guest.may_rule().is_ok()),
                (enters, rules),
                "{rights:?}"
            );
        }
    }
}
