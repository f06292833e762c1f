//! Who a certificate of the cluster's CA speaks for. Pure: bytes in, a name out.
//!
//! That the certificate is a good one is the handshake's affair, what its owner may do that of `api`.

use std::fmt;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

/// What a user may do, from little to everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Role {
    Reader,
    Operator,
    Deployer,
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 4] = [Role::Reader, Role::Operator, Role::Deployer, Role::Admin];

    /// As it stands in certificates and on the command line.
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
        Role::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// Whom a certificate is for: its `OU`, and for users its `O`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A manager of this cluster.
    Manager,
    /// The agent of a machine.
    Agent,
    /// A person or a program, with what it may do.
    User(Role),
    /// Somebody with a certificate of the trusted CA that says none of this: all that classic TLS knows.
    Foreign,
    /// Somebody with a certificate that has one of our `OU`s and cannot be read otherwise: a role that we do not know,
    /// two units. It was meant to give something less than everything, so it gives nothing.
    Nobody,
}

impl Who {
    /// The `OU`; `None` for certificates that are not ours.
    pub fn unit(self) -> Option<&'static str> {
        match self {
            Who::Manager => Some("manager"),
            Who::Agent => Some("agent"),
            Who::User(_) => Some("user"),
            Who::Foreign | Who::Nobody => None,
        }
    }
}

/// Who is on the other end of a TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What it is.
    pub kind: Who,
    /// Its name, the `CN`: of a node, a manager or a user.
    pub name: String,
    /// The serial number of its certificate, in lower-case hexadecimal digits, as in the list of revoked ones.
    pub serial: String,
}

impl Identity {
    /// Reads a leaf certificate. `None` if it is not X.509.
    pub fn of(leaf: &CertificateDer<'_>) -> Option<Identity> {
        let (_, cert) = X509Certificate::from_der(leaf).ok()?;
        let subject = cert.subject();
        // Each must be there once: of two, somebody else might read the other one.
        let only = |texts: Vec<String>| <[String; 1]>::try_from(texts).ok().map(|[text]| text);
        let units = texts(subject, X509Name::iter_organizational_unit);
        let has_ours = units.iter().any(|unit| is_ours(unit));
        let unit = only(units);
        let role = only(texts(subject, X509Name::iter_organization)).and_then(|word| Role::parse(&word));
        let name = only(texts(subject, X509Name::iter_common_name));
        let kind = match (unit.as_deref(), role, &name) {
            (Some("manager"), None, Some(_)) => Who::Manager,
            (Some("agent"), None, Some(_)) => Who::Agent,
            (Some("user"), Some(role), Some(_)) => Who::User(role),
            _ if has_ours => Who::Nobody,
            _ => Who::Foreign,
        };
        Some(Identity { kind, name: name.unwrap_or_default(), serial: hex(cert.raw_serial()) })
    }
}

/// Whether it is one of our units, however it is written.
fn is_ours(unit: &str) -> bool {
    ["manager", "agent", "user"].iter().any(|ours| unit.trim().eq_ignore_ascii_case(ours))
}

fn texts<'a, I>(name: &'a X509Name<'a>, part: impl Fn(&'a X509Name<'a>) -> I) -> Vec<String>
where
    I: Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>,
{
    part(name).map(|value| value.as_str().unwrap_or_default().to_string()).collect()
}

/// Without the zero byte that only says that the number is positive.
pub(super) fn hex(serial: &[u8]) -> String {
    let digits = match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As logs and audit records say it: `agent 0123abcd`, `user alice (operator)`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.kind.unit()) {
            (Who::User(role), _) => write!(f, "user {} ({})", self.name, role.word()),
            (_, Some(unit)) => write!(f, "{unit} {}", self.name),
            (_, None) => write!(f, "certificate {} ({})", self.serial, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SerialNumber};

    use super::*;

    fn cert(subject: &[(DnType, &str)]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (part, text) in subject {
            params.distinguished_name.push(part.clone(), *text);
        }
        params.serial_number = Some(SerialNumber::from_slice(&[0x80, 0x0a]));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_subject_says_who() {
        let (unit, org, name) =
            (DnType::OrganizationalUnitName, DnType::OrganizationName, DnType::CommonName);
        for (subject, who, shown) in [
            (vec![(unit.clone(), "manager"), (name.clone(), "boss")], Who::Manager, "manager boss"),
            (vec![(unit.clone(), "agent"), (name.clone(), "ab12")], Who::Agent, "agent ab12"),
            (
                vec![(unit.clone(), "user"), (org.clone(), "operator"), (name.clone(), "alice")],
                Who::User(Role::Operator),
                "user alice (operator)",
            ),
            (vec![(unit.clone(), "user"), (name.clone(), "alice")], Who::Nobody, "certificate 800a (alice)"),
            (
                vec![(unit.clone(), "user"), (org.clone(), "king"), (name.clone(), "a")],
                Who::Nobody,
                "certificate 800a (a)",
            ),
            (vec![(unit.clone(), "manager")], Who::Nobody, "certificate 800a ()"),
            (
                vec![(org.clone(), "admin"), (unit.clone(), "manager"), (name.clone(), "m")],
                Who::Nobody,
                "certificate 800a (m)",
            ),
            (vec![(unit.clone(), "User"), (name.clone(), "a")], Who::Nobody, "certificate 800a (a)"),
            (vec![(unit.clone(), "ops"), (name.clone(), "a")], Who::Foreign, "certificate 800a (a)"),
            (vec![(name, "127.0.0.1")], Who::Foreign, "certificate 800a (127.0.0.1)"),
        ] {
            let identity = Identity::of(&cert(&subject)).unwrap();
            assert_eq!((identity.kind, identity.to_string().as_str()), (who, shown));
            assert_eq!(identity.serial, "800a");
        }
        assert_eq!(Identity::of(&CertificateDer::from(vec![1, 2, 3])), None);
    }
}
