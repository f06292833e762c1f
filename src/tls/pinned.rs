//! TLS towards a manager of which only the pin of its CA is known: for joining, and for nothing else.
//!
//! Good is a manager's certificate, for the name dialled, that leads to a CA with this pin. The CA itself comes with
//! the handshake; nothing but its key counts. A clock that is behind does not matter here: the certificate's own start
//! is as good a time, since the pin says whose word that is.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, Error as TlsError, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::error::{Error, Kind, Result};
use crate::tls::identity::Who;
use crate::tls::pki::BACKDATED;
use crate::tls::pki::members::Own;
use crate::tls::pki::pin::Pin;
use crate::tls::signatures::{Signatures, signatures_as};

/// Connects to a manager whose CA has this pin, and to nobody else.
pub(super) fn connector(pin: &Pin) -> Result<TlsConnector> {
    let provider = ring::default_provider();
    let verifier = Arc::new(Pinned {
        pin: pin.clone(),
        signatures: Signatures(provider.signature_verification_algorithms),
    });
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::us(Kind::Internal, e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[derive(Debug)]
struct Pinned {
    pin: Pin,
    signatures: Signatures,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let refused = |why: String| TlsError::General(why);
        let ca = others.iter().find(|cert| Pin::of(cert).as_ref() == Some(&self.pin)).ok_or_else(|| {
            refused("its CA is not the one that the join token names: this is another cluster, or somebody in between".into())
        })?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone())?;
        let parsed = ParsedCertificate::try_from(leaf)?;
        let own =
            Own::of(std::slice::from_ref(leaf)).ok_or_else(|| refused("its certificate is none".into()))?;
        let start = u64::try_from(own.issued - BACKDATED).unwrap_or(0);
        let now = now.max(UnixTime::since_unix_epoch(Duration::from_secs(start)));
        let algorithms = self.signatures.0.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, others, now, algorithms)?;
        if own.identity.kind != Who::Manager {
            return Err(refused(format!("that is no manager but {}", own.identity)));
        }
        verify_server_name(&parsed, name).map_err(|_| {
            let name = name.to_str();
            refused(format!(
                "its certificate is not for {name}: set [pki] names = [\"{name}\"] there, and restart it"
            ))
        })?;
        Ok(ServerCertVerified::assertion())
    }

    signatures_as!(signatures);
}
