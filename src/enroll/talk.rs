//! What goes over the wire between a member, or one that wants to be one, and a manager. Fields are only ever added.
//! Times are seconds since the epoch, certificates are PEM.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tls::pki::book::Revocation;

/// Carries a join token's ID and secret: `Bearer ROLE-ID-SECRET` behind `Authorization`.
pub const SCHEME: &str = "Bearer ";

/// `POST /swarmd/v1/join` and `/swarmd/v1/renew`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The request for a certificate. Nothing counts of it but the public key.
    pub csr: String,
    /// What the machine calls itself.
    pub hostname: String,
    /// By what others reach it; counts for managers only.
    pub names: Vec<String>,
    /// Of a machine that joins again: a request by the key that it had before, whose `CN` is the pin of the new one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub former: String,
}

/// The answer to both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Membership {
    /// The certificate, and those that lead to its CA.
    pub certificate: String,
    /// The CAs to trust.
    pub bundle: String,
    /// The member's name in the cluster.
    pub name: String,
    /// Names and addresses in the certificate.
    pub hosts: Vec<String>,
    /// When it ends.
    pub expires: i64,
    /// What time it is.
    pub now: i64,
    /// Where engines are listed, as this manager knows it: `token://TOKEN` is its own list.
    pub discovery: String,
    /// Where the CA is, as this manager knows it, `host:port`; none if it is here.
    pub managers: Vec<String>,
}

/// `GET /swarmd/v1/trust`. All of it must be there: an answer that says nothing is not one by which nobody is trusted,
/// and nobody revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// The CAs to trust.
    pub bundle: String,
    /// The pin of the one that signs.
    pub ca: String,
    /// Certificates that count no more.
    pub revoked: BTreeMap<String, Revocation>,
}

/// `POST /swarmd/v1/tokens`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewToken {
    /// `agent` or `manager`.
    pub joins: String,
    /// How long it lives, in seconds; 0: for ever.
    pub ttl: i64,
    /// How many machines may join with it; 0: any number.
    pub uses: u32,
    /// Whether all others for the same role are taken back.
    pub rotate: bool,
}

/// The answer to that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Minted {
    /// The token, secret and all: it is not shown again.
    pub token: String,
    /// Its ID.
    pub id: String,
    /// When it ends; `None`: never.
    pub expires: Option<i64>,
    /// Where the manager is reached, `host:port`.
    pub manager: String,
}

/// `GET /swarmd/v1/tokens`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenLine {
    /// Which.
    pub id: String,
    /// `agent` or `manager`.
    pub joins: String,
    /// When it was made.
    pub made: i64,
    /// When it ends; `None`: never.
    pub expires: Option<i64>,
    /// How many may still join with it; `None`: any number.
    pub left: Option<u32>,
    /// How many have.
    pub used: u32,
}

/// `GET /swarmd/v1/pki`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// The pin of the CA that signs.
    pub ca: String,
    /// Whether an older one is trusted beside it.
    pub rotating: bool,
    /// Who has a certificate.
    pub members: Vec<MemberLine>,
}

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberLine {
    /// `agent`, `manager` or `user`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// A user's role.
    pub role: String,
    /// What its machine calls itself.
    pub hostname: String,
    /// Names and addresses in its certificate.
    pub hosts: Vec<String>,
    /// The serial number of its newest certificate.
    pub serial: String,
    /// Those of others that are still good.
    pub older: Vec<String>,
    /// When that ends.
    pub expires: i64,
    /// Whether that is of the CA that signs now.
    pub current: bool,
}

/// `POST /swarmd/v1/users`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewUser {
    /// The request for a certificate. Nothing counts of it but the public key.
    pub csr: String,
    /// The user's name.
    pub name: String,
    /// What the user may do.
    pub role: String,
    /// How long, in seconds.
    pub life: u64,
}

/// The answer to that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserCertificate {
    /// The certificate, and those that lead to its CA.
    pub certificate: String,
    /// The CAs to trust.
    pub bundle: String,
    /// The user's name.
    pub name: String,
    /// When it ends.
    pub expires: i64,
    /// Where the manager is reached, `host:port`.
    pub manager: String,
}

/// `POST /swarmd/v1/pki/finish`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Finish {
    /// Also if that locks somebody out.
    pub force: bool,
}

/// `POST /swarmd/v1/pki/revoke`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Revoke {
    /// `agent`, `manager` or `user`.
    pub kind: String,
    /// Whose certificates count no more.
    pub name: String,
    /// Instead of both: the serial number of one certificate.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial: String,
}

/// The answer to that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Revoked {
    /// How many certificates that were.
    pub certificates: usize,
    /// Whether the CA did not know of it: by its number it is revoked all the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
}
