//! Which address is whose: what a member asks for, held against what the others have. Pure: time comes in.
//!
//! An address is that of the agent whose newest certificate is for it, until that expires or is revoked, or until that
//! agent has asked from elsewhere: so two machines whose addresses were swapped do not wait for each other. Loopback is
//! nobody's, nor is what `[pki] shared-addresses` names.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::tls::identity::{Identity, Who};
use crate::tls::pki::authority::{Applicant, Authority};
use crate::tls::pki::book::{Book, Record};
use crate::tls::pki::pin::{Joins, Pin};
use crate::tls::pki::request::Wanted;
use crate::tls::pki::{policy, request};

/// Whose addresses count no more, though they are on the book.
#[derive(Debug, Default)]
pub struct Claims {
    /// Serial numbers of certificates whose owners have asked from other addresses since.
    left: BTreeSet<String>,
    /// Addresses from which several machines come.
    shared: BTreeSet<IpAddr>,
}

impl Claims {
    /// A member has proved who it is, from here.
    pub fn seen(&mut self, owner: &Identity, peer: Option<IpAddr>, book: &Book) {
        self.left.retain(|serial| book.issued.iter().any(|record| record.serial == *serial));
        let unit = owner.kind.unit().unwrap_or_default();
        let newest = book.latest().into_iter().find(|r| r.owner() == (unit, owner.name.as_str()));
        if let (Some(record), Some(peer)) = (newest, peer) {
            match record.hosts.contains(&peer.to_canonical().to_string()) {
                true => self.left.remove(&record.serial),
                false => self.left.insert(record.serial.clone()),
            };
        }
    }

    /// What the certificate of a member carries. `name`: that of its node, once it has one.
    ///
    /// # Errors
    /// `Kind::Permission` for the address of a manager, `Kind::Conflict` for that of another agent.
    pub fn hosts(
        &self,
        kind: Who,
        name: Option<&str>,
        who: &Applicant<'_>,
        book: &Book,
        now: i64,
    ) -> Result<Vec<String>> {
        let peer = match (kind, who.peer) {
            (Who::Manager, peer) => return policy::of_manager(peer, who.names),
            (_, Some(peer)) => peer.to_canonical(),
            (_, None) => {
                return Err(Error::client(Kind::Permission, "an agent asks from its own address")
                    .advise("name the manager by its address, not by its unix socket"));
            }
        };
        match self.holder(&peer.to_string(), name, book, now).filter(|_| !self.is_shared(peer)) {
            Some(other) => Err(taken(peer, other)),
            None => policy::of_agent(peer, who.hostname, name, &book.issued),
        }
    }

    fn is_shared(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.shared.contains(&address)
    }

    /// The other agent whose address this is.
    fn holder<'b>(&self, address: &str, name: Option<&str>, book: &'b Book, now: i64) -> Option<&'b Record> {
        book.latest().into_iter().find(|record| {
            record.kind == "agent"
                && Some(record.name.as_str()) != name
                && record.expires > now
                && !self.left.contains(&record.serial)
                && record.hosts.iter().any(|host| host == address)
        })
    }
}

impl Authority {
    /// Several machines come from these addresses, which are nobody's then. What is none is passed over.
    pub fn share(&self, addresses: &[String]) {
        let addresses = addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok());
        self.state().claims.shared = addresses.map(|address| address.to_canonical()).collect();
    }
}

/// The name that a machine had before it joined again: by the key that it had, or by the very key that it shows now if it
/// has never heard the answer. `None`: it is new.
///
/// # Errors
/// `Kind::Conflict` for a key that has a certificate already, of somebody who does not prove that he joins again.
pub fn member_before(
    joins: Joins,
    wanted: &Wanted,
    who: &Applicant<'_>,
    book: &Book,
) -> Result<Option<String>> {
    let key = Pin::of_key(&wanted.spki);
    let former = former_key(who, &key);
    let owner = former.as_ref().and_then(|pin| book.owner_of(pin.text()));
    let agent = owner.filter(|(kind, _)| joins == Joins::Agent && *kind == "agent").map(|(_, name)| name);
    let Some((kind, name)) = book.owner_of(key.text()) else { return Ok(agent.map(str::to_string)) };
    let same = kind == joins.word() && agent.is_none_or(|agent| agent == name);
    match same && former.is_some() {
        true => Ok(Some(name.to_string())),
        false => Err(Error::client(Kind::Conflict, "this key has a certificate already")
            .advise("a request is taken once: make another key")),
    }
}

/// The key that a machine had, by a request that only its owner can have made, and for the key that it shows now: an old
/// request of somebody says nothing.
fn former_key(who: &Applicant<'_>, key: &Pin) -> Option<Pin> {
    let former = request::read(who.former?).ok()?;
    former.yields_to(key).then(|| Pin::of_key(&former.spki))
}

fn taken(address: IpAddr, other: &Record) -> Error {
    let Record { name, hostname, expires, .. } = other;
    let until = clock::rfc3339(*expires);
    let text = format!(
        "{address} is the address of agent {name} ({hostname}), whose certificate is good until {until}: nobody else gets \
         one for it"
    );
    Error::client(Kind::Conflict, text).advise(format!(
        "if that machine is gone, or was set up anew: `swarmd pki revoke agent {name}` on the manager, then again; if both \
         come from there (NAT): [pki] shared-addresses"
    ))
}
