//! Who comes in at an engine's front: managers of this cluster, and nobody else. It is decided in the handshake, so
//! not a byte of anybody else is read.
//!
//! The rules are in `judge`; the front itself is in `agent::front`.

use std::path::Path;
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

/// The acceptor of a front: a client certificate is demanded, and must be a manager's.
///
/// # Errors
/// `Kind::Config`: files are missing or cannot be used.
pub fn gate(tls: &Tls) -> Result<Acceptor> {
    let (Some(ca), Some(cert), Some(key), true) =
        (tls.tlscacert.clone(), tls.tlscert.clone(), tls.tlskey.clone(), tls.tlsverify)
    else {
        let text = "agent.front needs [tls] tlsverify = true with tlscacert, tlscert and tlskey";
        return Err(Error::us(Kind::Config, text));
    };
    let files = vec![ca.clone(), cert.clone(), key.clone()];
    Ok(Acceptor::new(Fresh::new(files, move || guarding(&ca, &cert, &key))?))
}

fn guarding(ca: &Path, cert: &Path, key: &Path) -> Result<TlsAcceptor> {
    let roots = Arc::new(pem::roots(ca)?);
    let chain = WebPkiClientVerifier::builder_with_provider(roots, Arc::new(ring::default_provider()))
        .build()
        .map_err(|e| Error::us(Kind::Config, format!("cannot use {}: {e}", ca.display())))?;
    let mut config = serving(Some(Arc::new(ManagersOnly { chain })), cert, key)?;
    // A resumed session shows no certificate, so that one revoked or expired meanwhile would go on to be good.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Good chains, and of these the managers'.
#[derive(Debug)]
struct ManagersOnly {
    chain: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for ManagersOnly {
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let good = self.chain.verify_client_cert(leaf, intermediates, now)?;
        match judge(leaf) {
            Ok(()) => Ok(good),
            Err(why) => {
                tracing::warn!("the front was asked by {why}: refused");
                Err(CertificateError::ApplicationVerificationFailure.into())
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

/// Whether a certificate of the CA is let in; else whose it is.
fn judge(leaf: &CertificateDer<'_>) -> Result<(), String> {
    let Ok((_, cert)) = X509Certificate::from_der(leaf) else {
        return Err("somebody whose certificate cannot be read".into());
    };
    let units: Vec<&str> =
        cert.subject().iter_organizational_unit().filter_map(|unit| unit.as_str().ok()).collect();
    let ours = |unit: &&str| matches!(*unit, "manager" | "agent" | "user");
    match units.iter().find(|unit| ours(unit)) {
        None | Some(&"manager") => Ok(()),
        Some(kind) => Err(format!("the {kind} {}", cert.subject())),
    }
}
