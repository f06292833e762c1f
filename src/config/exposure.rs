//! The security rule: whoever reaches the API is root on every node, so beyond loopback it takes client
//! certificates, or an explicit word from the person in charge.
//!
//! Only the decision; the handshake is in `tls::server`.

use std::net::SocketAddr;

use super::Config;
use super::check::{Purpose, Rules};
use super::problem::{Origin, Origins};
use super::value::Bad;
use crate::error::{Error, Kind, Result};

/// Classic `manage` with `-H` on the command line: who types the address says so. A file or `SWARM_HOST` may
/// be old or inherited, and does not count.
pub(super) fn typed_address_counts(config: &mut Config, origins: &mut Origins, purpose: Purpose) {
    if purpose == Purpose::Manage && matches!(origins.get("manager.host"), Origin::Flag(_)) {
        config.manager.allow_unauthenticated = true;
        origins.set("manager.allow-unauthenticated", Origin::Implied("the address given with -H"));
    }
}

impl Rules<'_> {
    /// Whoever reaches the API owns the machines: beyond loopback it takes client certificates, or a word
    /// from the person in charge.
    pub(super) fn exposure(&mut self) {
        let manager = &self.config.manager;
        let serves = self.config.role.manages() && matches!(self.purpose, Purpose::Run | Purpose::Manage);
        if !serves || self.config.tls.tlsverify || !self.sound(&["manager.host"]) {
            return;
        }
        let Some(open) = manager.host.iter().find(|listen| listen.is_exposed()) else {
            return;
        };
        match manager.allow_unauthenticated {
            true => self.warn(format!(
                "{open} serves without client certificates: whoever reaches it is root on every node (use {})",
                self.name("tls.tlsverify")
            )),
            false => self.refuse("manager.host", unauthenticated(&open.to_string(), self.purpose)),
        }
    }
}

fn unauthenticated(address: &str, purpose: Purpose) -> Bad {
    let cure = match purpose {
        Purpose::Manage => {
            "set --tlsverify with certificates, or name the address with -H, or set \
                            --allow-unauthenticated"
        }
        _ => {
            "set tls.tlsverify = true with certificates, or listen on 127.0.0.1, or set \
              [manager] allow-unauthenticated = true"
        }
    };
    Bad::new(format!(
        "{{name}}: {address} would serve without client certificates, and whoever reaches it is root on every node"
    ))
    .advise(cure)
}

/// The same rule for a TCP socket that was inherited (systemd), where the address is known only at start.
///
/// # Errors
/// `Kind::Config` when the socket is reachable from elsewhere and clients are not authenticated.
pub fn guard_inherited(config: &Config, address: SocketAddr) -> Result<()> {
    if address.ip().is_loopback() || config.tls.tlsverify || config.manager.allow_unauthenticated {
        return Ok(());
    }
    let bad = unauthenticated(&address.to_string(), Purpose::Run);
    let text = bad.text.replace("{name}", "inherited socket");
    Err(Error::us(Kind::Config, text).advise(bad.advice.unwrap_or_default()))
}
