//! What is done with the CA, as a value: a manager that has it carries it out, any other passes it on to that one.
//!
//! Whether somebody may have it done is decided before, where the call came in.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::enroll::talk::{Finish, MemberLine, Membership, Minted, NewToken, Request, Revoke, Revoked};
use crate::enroll::talk::{Standing, TokenLine, Trust};
use crate::error::{Error, Kind, Result};
use crate::tls::identity::{Identity, Role, Who};
use crate::tls::pki::authority::{Applicant, Authority, Issued};
use crate::tls::pki::book::Struck;
use crate::tls::pki::pin::Joins;

/// More digits no serial number has (RFC 5280: 20 bytes).
const LONGEST_SERIAL: usize = 40;

/// One errand.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "errand", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each is a page of the API, described there")]
pub enum Errand {
    Join {
        joins: String,
        id: String,
        secret: String,
        peer: Option<IpAddr>,
        request: Request,
    },
    Renew {
        kind: String,
        name: String,
        serial: String,
        peer: Option<IpAddr>,
        request: Request,
    },
    Trust,
    Tokens,
    NewToken(NewToken),
    RevokeToken {
        id: String,
    },
    Standing,
    Rotate,
    Finish(Finish),
    Revoke(Revoke),
    /// A user's certificate; `life` in seconds.
    IssueUser {
        csr: String,
        name: String,
        role: String,
        life: u64,
    },
}

impl Errand {
    /// A renewal for this member.
    pub fn renewal(owner: &Identity, peer: Option<IpAddr>, request: Request) -> Errand {
        let kind = owner.kind.unit().unwrap_or_default().to_string();
        Errand::Renew { kind, name: owner.name.clone(), serial: owner.serial.clone(), peer, request }
    }

    /// Whether something is another thing afterwards: it is not done twice unasked.
    pub fn changes(&self) -> bool {
        !matches!(self, Errand::Trust | Errand::Tokens | Errand::Standing)
    }

    /// Carries it out. Blocks on the disk.
    ///
    /// # Errors
    /// Those of the CA.
    pub fn carry_out(self, authority: &Authority, now: i64) -> Result<Value> {
        match self {
            Errand::Join { joins, id, secret, peer, request } => {
                let joins = joins_of(&joins)?;
                is_plain(&request.hostname)?;
                let issued = authority.join(&id, &secret, joins, &applicant(&request, peer), now)?;
                tracing::info!(PEER = ?peer, "{} joined: {}", issued.identity, request.hostname);
                answer(&membership(issued, now))
            }
            Errand::Renew { kind, name, serial, peer, request } => {
                is_plain(&request.hostname)?;
                let owner = Identity { kind: joins_of(&kind)?.who(), name, serial };
                let issued = authority.renew(&owner, &applicant(&request, peer), now)?;
                tracing::info!(PEER = ?peer, "{} has a new certificate for {}", issued.identity, issued.hosts.join(", "));
                answer(&membership(issued, now))
            }
            Errand::Trust => answer(&trust(authority)),
            Errand::Tokens => answer(&tokens(authority)),
            Errand::NewToken(wanted) => answer(&new_token(authority, &wanted, now)?),
            Errand::RevokeToken { id } => authority.revoke_token(&id).and_then(|()| answer(&id)),
            Errand::Standing => answer(&standing(authority, now)),
            Errand::Rotate => {
                authority.rotate(now)?;
                tracing::info!("a new CA signs from now on; all members renew their certificates");
                answer(&standing(authority, now))
            }
            Errand::Finish(Finish { force }) => {
                if authority.finish(force, now)? {
                    tracing::info!("the old CA is trusted no more");
                }
                answer(&standing(authority, now))
            }
            Errand::Revoke(Revoke { kind, name, serial }) if serial.is_empty() => {
                let certificates = authority.revoke(&kind, &name)?;
                tracing::info!("{kind} {name}: {certificates} certificates revoked");
                answer(&Revoked { certificates, unknown: false })
            }
            Errand::Revoke(Revoke { serial, .. }) => {
                is_serial(&serial)?;
                let struck = authority.revoke_one(&serial.to_ascii_lowercase())?;
                let certificates = usize::from(struck != Struck::Before);
                tracing::info!("certificate {serial}: {certificates} revoked");
                answer(&Revoked { certificates, unknown: struck == Struck::Unknown })
            }
            Errand::IssueUser { csr, name, role, life } => {
                let role = Role::parse(&role)
                    .ok_or_else(|| Error::client(Kind::Invalid, format!("there is no role {role:?}")))?;
                let issued = authority.issue_user(&csr, &name, role, Duration::from_secs(life), now)?;
                tracing::info!("{} has a certificate", issued.identity);
                answer(&membership(issued, now))
            }
        }
    }
}

fn answer<T: Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| Error::us(Kind::Internal, e.to_string()))
}

fn joins_of(word: &str) -> Result<Joins> {
    Joins::parse(word).ok_or_else(|| {
        Error::client(Kind::Invalid, format!("nobody joins as {word:?}")).advise("as agent, or as manager")
    })
}

/// It is listed, whether or not there is such a certificate.
fn is_serial(text: &str) -> Result<()> {
    match text.len() <= LONGEST_SERIAL && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(Error::client(Kind::Invalid, "a serial number has at most 40 hexadecimal digits")
            .advise("`swarmd pki status` and the log show them")),
    }
}

/// What a machine calls itself is logged and shown.
fn is_plain(hostname: &str) -> Result<()> {
    match hostname.chars().any(|c| c.is_control() || matches!(c, '"' | '\'')) || hostname.len() > 253 {
        false => Ok(()),
        true => Err(Error::client(Kind::Invalid, "the machine has a host name that is none")
            .advise("give it one of letters, digits, - and .")),
    }
}

fn applicant(request: &Request, peer: Option<IpAddr>) -> Applicant<'_> {
    Applicant {
        request: &request.csr,
        peer,
        hostname: &request.hostname,
        names: &request.names,
        former: Some(request.former.as_str()).filter(|former| !former.is_empty()),
    }
}

fn membership(issued: Issued, now: i64) -> Membership {
    Membership {
        certificate: issued.chain,
        bundle: issued.bundle,
        name: issued.identity.name,
        hosts: issued.hosts,
        expires: issued.expires,
        now,
        discovery: String::new(),
        managers: Vec::new(),
    }
}

fn trust(authority: &Authority) -> Trust {
    Trust { bundle: authority.bundle(), ca: authority.pin().text().into(), revoked: authority.revoked() }
}

fn tokens(authority: &Authority) -> Vec<TokenLine> {
    let line = |(id, token): (String, crate::tls::pki::tokens::Token)| TokenLine {
        id,
        joins: token.joins,
        made: token.made,
        expires: token.expires,
        left: token.left,
        used: token.used,
    };
    authority.tokens().into_iter().map(line).collect()
}

fn new_token(authority: &Authority, wanted: &NewToken, now: i64) -> Result<Minted> {
    let joins = joins_of(&wanted.joins)?;
    if wanted.ttl < 0 {
        return Err(Error::client(Kind::Invalid, "the ttl of a join token is no negative number"));
    }
    if wanted.rotate {
        authority.revoke_tokens(joins)?;
    }
    let ttl = (wanted.ttl > 0).then_some(wanted.ttl);
    let uses = (wanted.uses > 0).then_some(wanted.uses);
    let token = authority.new_token(joins, ttl, uses, now)?;
    let expires = ttl.map(|ttl| now.saturating_add(ttl));
    Ok(Minted { token: token.reveal(), id: token.id, expires, manager: String::new() })
}

fn standing(authority: &Authority, now: i64) -> Standing {
    let standing = authority.standing(now);
    let line = |record: crate::tls::pki::book::Record| MemberLine {
        current: !standing.behind.contains(&record.serial),
        older: standing.older.get(&record.serial).cloned().unwrap_or_default(),
        kind: record.kind,
        name: record.name,
        role: record.role,
        hostname: record.hostname,
        hosts: record.hosts,
        serial: record.serial,
        expires: record.expires,
    };
    Standing {
        ca: standing.ca.text().into(),
        rotating: standing.rotating,
        members: standing.members.into_iter().map(line).collect(),
    }
}

/// Whether somebody with this certificate may have any errand done: other managers for those whom they let in, and
/// people for themselves.
pub fn may_administer(identity: &Identity) -> bool {
    matches!(identity.kind, Who::Manager | Who::User(Role::Admin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_one_line() {
        for good in ["", "pi", "Pi-4.example", "büro"] {
            is_plain(good).unwrap();
        }
        for bad in ["pi\nsshd: accepted", "a\"b", "\u{1b}[2J", &"x".repeat(254)] {
            assert_eq!(is_plain(bad).unwrap_err().kind, Kind::Invalid, "{bad:?}");
        }
    }
}
