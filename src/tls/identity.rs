//! Who a certificate of the cluster's CA belongs to: it is written in its subject.
//!
//! Pure. What somebody may do is decided in `access`.

use x509_parser::prelude::{FromDer, X509Certificate};

/// What users may do, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Role {
    Reader,
    Operator,
    Deployer,
    Admin,
}

/// What kind of holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Another manager of the cluster.
    Manager,
    /// An agent of the cluster.
    Agent,
    /// A person or program, with a role.
    User(Role),
    /// A certificate that is none of ours: made by hand.
    Foreign,
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What kind of holder.
    pub kind: Kind,
    /// Node ID, manager name or user name.
    pub name: String,
    /// Serial number of the certificate, lower-case hex.
    pub serial: String,
}

impl Role {
    /// The word for it, in certificates and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Operator => "operator",
            Role::Deployer => "deployer",
            Role::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn parse(word: &str) -> Option<Role> {
        [Role::Reader, Role::Operator, Role::Deployer, Role::Admin].into_iter().find(|r| r.word() == word)
    }
}

impl Identity {
    /// Reads a leaf certificate (DER). `None`: it cannot be read, or says that its holder is a user without a role.
    pub fn of(leaf: &[u8]) -> Option<Identity> {
        let (_, cert) = X509Certificate::from_der(leaf).ok()?;
        let subject = cert.subject();
        let units: Vec<&str> = subject.iter_organizational_unit().filter_map(|a| a.as_str().ok()).collect();
        let name = subject.iter_common_name().find_map(|a| a.as_str().ok()).unwrap_or_default();
        let kind = match units.as_slice() {
            ["manager"] => Kind::Manager,
            ["agent"] => Kind::Agent,
            ["user"] => Kind::User(Role::parse(subject.iter_organization().next()?.as_str().ok()?)?),
            _ => Kind::Foreign,
        };
        let serial = cert.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Identity { kind, name: name.to_string(), serial })
    }
}
