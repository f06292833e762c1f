//! Who comes in at an engine's front: managers of this cluster, and nobody else. It is decided in the handshake, so
//! not a byte of anybody else is read.
//!
//! The rules are in `Rules::judge`; the front itself is in `agent::front`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use tokio_rustls::TlsAcceptor;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::config::Tls;
use crate::error::{Error, Kind, Result};
use crate::tls::server::{Acceptor, serving};
use crate::tls::{fresh::Fresh, pem};

/// Beyond a good chain: who is let in.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Certificates that do not say what they are for, since they were made by hand.
    pub foreign: bool,
    /// The list of revoked certificates. No such file: none is.
    pub revoked: PathBuf,
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
    let files = vec![ca.clone(), cert.clone(), key.clone(), admission.revoked.clone()];
    Ok(Acceptor::new(Fresh::new(files, move || guarding(&ca, &cert, &key, &admission))?))
}

fn guarding(ca: &Path, cert: &Path, key: &Path, admission: &Admission) -> Result<TlsAcceptor> {
    let roots = Arc::new(pem::roots(ca)?);
    let chain = WebPkiClientVerifier::builder_with_provider(roots, Arc::new(ring::default_provider()))
        .build()
        .map_err(|e| Error::us(Kind::Config, format!("cannot use {}: {e}", ca.display())))?;
    let rules = Rules { foreign: admission.foreign, revoked: read_revoked(&admission.revoked)? };
    let mut config = serving(Some(Arc::new(ManagersOnly { chain, rules })), cert, key)?;
    // A resumed session shows no certificate, so that one revoked or expired meanwhile would go on to be good.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Good chains, and of these the managers'.
#[derive(Debug)]
struct ManagersOnly {
    chain: Arc<dyn ClientCertVerifier>,
    rules: Rules,
}

impl ClientCertVerifier for ManagersOnly {
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let good = self.chain.verify_client_cert(leaf, intermediates, now)?;
        match self.rules.judge(leaf) {
            Ok(()) => Ok(good),
            Err((error, who)) => {
                tracing::warn!("the front lets in managers only, not {who}");
                Err(error.into())
            }
        }
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[derive(Debug)]
struct Rules {
    foreign: bool,
    revoked: Revoked,
}

impl Rules {
    /// Whether a certificate of the CA is let in; else how to refuse it, and whose it is.
    fn judge(&self, leaf: &CertificateDer<'_>) -> Result<(), (CertificateError, String)> {
        let Ok((_, cert)) = X509Certificate::from_der(leaf) else {
            return Err((CertificateError::BadEncoding, "somebody with a broken certificate".into()));
        };
        let serial = hex(cert.raw_serial());
        if self.revoked.revoked.contains_key(&serial) {
            return Err((CertificateError::Revoked, format!("the revoked {serial} ({})", cert.subject())));
        }
        let mut units = cert.subject().iter_organizational_unit().filter_map(|unit| unit.as_str().ok());
        let said = units.find(|unit| matches!(*unit, "manager" | "agent" | "user"));
        match said {
            Some("manager") => Ok(()),
            None if self.foreign => Ok(()),
            _ => Err((CertificateError::ApplicationVerificationFailure, cert.subject().to_string())),
        }
    }
}

/// The list of revoked certificates, by serial number in lower-case hexadecimal digits.
#[derive(Debug, Default, serde::Deserialize)]
struct Revoked {
    revoked: BTreeMap<String, serde::de::IgnoredAny>,
}

fn read_revoked(path: &Path) -> Result<Revoked> {
    let bad = |why: &dyn std::fmt::Display| {
        Error::us(Kind::Config, format!("cannot use {}: {why}", path.display()))
    };
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| bad(&e)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Revoked::default()),
        Err(e) => Err(bad(&e)),
    }
}

/// Without the zero byte that only says that the number is positive.
pub(super) fn hex(serial: &[u8]) -> String {
    let digits = match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}
