//! Who comes in at an engine's front: managers of this cluster, and nobody else. It is decided in the handshake, so
//! not a byte of anybody else is read.
//!
//! The rules are in `Admission::judge`; the front itself is in `agent::front`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;
use crate::error::{Error, Kind, Result};
use crate::tls::ciphers::provider;
use crate::tls::fresh::Fresh;
use crate::tls::identity::{Identity, Who};
use crate::tls::pem;
use crate::tls::pki::revoked::Revoked;
use crate::tls::server::{Acceptor, serving};
use crate::tls::signatures::signatures_as;

/// Beyond a good chain: who is let in.
#[derive(Clone)]
pub struct Admission {
    /// Certificates that do not say what they are for, since they were made by hand.
    pub foreign: bool,
    /// Certificates that count no more.
    pub revoked: Revoked,
}

/// The acceptor of a front: a client certificate is demanded, and must be a manager's.
///
/// # Errors
/// `Kind::Config`: files are missing or cannot be used.
pub fn gate(tls: &Tls, admission: Admission) -> Result<Acceptor> {
    let (Some(ca), Some(cert), Some(key), true) =
        (tls.tlscacert.clone(), tls.tlscert.clone(), tls.tlskey.clone(), tls.tlsverify)
    else {
        let text = "agent.front needs [tls] tlsverify = true with tlscacert, tlscert and tlskey";
        return Err(Error::us(Kind::Config, text));
    };
    let files = vec![ca.clone(), cert.clone(), key.clone()];
    Ok(Acceptor::new(Fresh::new(files, move || guarding(&ca, &cert, &key, &admission))?))
}

fn guarding(ca: &Path, cert: &Path, key: &Path, admission: &Admission) -> Result<TlsAcceptor> {
    let roots = Arc::new(pem::roots(ca)?);
    let chain = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|e| Error::us(Kind::Config, format!("cannot use {}: {e}", ca.display())))?;
    let managers = ManagersOnly { chain, admission: admission.clone() };
    let config = serving(Some(Arc::new(managers)), cert, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Good chains, and of these the managers'.
struct ManagersOnly {
    chain: Arc<dyn ClientCertVerifier>,
    admission: Admission,
}

impl fmt::Debug for ManagersOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ManagersOnly")
    }
}

impl ClientCertVerifier for ManagersOnly {
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let good = self.chain.verify_client_cert(leaf, intermediates, now)?;
        let owner = Identity::of(leaf).ok_or(CertificateError::BadEncoding)?;
        match self.admission.judge(&owner) {
            Ok(()) => Ok(good),
            Err(why) => {
                tracing::warn!("the front lets in managers only, not {owner}: {why}");
                Err(why.into())
            }
        }
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    signatures_as!(chain);
}

impl Admission {
    /// Whether the owner of a certificate of the CA is let in; else how to refuse it.
    fn judge(&self, owner: &Identity) -> Result<(), CertificateError> {
        match owner.kind {
            _ if self.revoked.contains(&owner.serial) => Err(CertificateError::Revoked),
            Who::Manager => Ok(()),
            Who::Foreign if self.foreign => Ok(()),
            Who::Foreign | Who::Nobody | Who::Agent | Who::User(_) => {
                Err(CertificateError::ApplicationVerificationFailure)
            }
        }
    }
}
