//! Whom we connect to in a cluster with certificates of its own: beyond a good chain and the right name, the
//! certificate must say what we want to talk to, and must not be revoked. What `gate` is for who comes in.

use std::fmt;
use std::sync::Arc;

use rustls::CertificateError;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use crate::tls::identity::{Identity, Who};
use crate::tls::pki::revoked::Revoked;
use crate::tls::signatures::signatures_as;

/// What we want to talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers {
    /// Engines: fronts of agents and managers. A Docker whose certificate people made from the cluster's CA is one, too.
    Engines,
    /// Other managers, and the lists that they keep.
    Managers,
    /// The same, found without knowing their names.
    FoundManagers,
}

impl Peers {
    /// Whether this is one.
    fn include(self, who: Who) -> bool {
        match self {
            Peers::Engines => matches!(who, Who::Agent | Who::Manager | Who::Foreign),
            Peers::Managers | Peers::FoundManagers => matches!(who, Who::Manager),
        }
    }
}

/// Beyond a good chain: who is talked to.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) peers: Peers,
    pub(super) revoked: Revoked,
}

impl Wanted {
    fn judge(&self, owner: &Identity) -> Result<(), CertificateError> {
        if self.revoked.contains(&owner.serial) {
            return Err(CertificateError::Revoked);
        }
        match self.peers.include(owner.kind) {
            true => Ok(()),
            false => Err(CertificateError::ApplicationVerificationFailure),
        }
    }
}

/// Good chains by `chain`, and of these the wanted ones.
pub(super) struct WantedOnly {
    pub(super) chain: Arc<dyn ServerCertVerifier>,
    pub(super) wanted: Wanted,
}

impl fmt::Debug for WantedOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WantedOnly({:?})", self.wanted.peers)
    }
}

impl ServerCertVerifier for WantedOnly {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let good = self.chain.verify_server_cert(leaf, others, name, ocsp, now)?;
        let owner = Identity::of(leaf).ok_or(CertificateError::BadEncoding)?;
        match self.wanted.judge(&owner) {
            Ok(()) => Ok(good),
            Err(why) => {
                tracing::warn!(
                    "not one of the cluster's {:?}: {owner} at {}: {why}",
                    self.wanted.peers,
                    name.to_str()
                );
                Err(why.into())
            }
        }
    }

    signatures_as!(chain);
}
