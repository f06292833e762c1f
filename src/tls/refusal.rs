//! What to do when a handshake failed: rustls says what is wrong with a certificate, this says how to mend it.

use std::io;

use rustls::AlertDescription::{AccessDenied, CertificateRevoked};
use rustls::CertificateError::{self, *};
use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, NoCertificatesPresented};

/// Whether `error` is TLS's own, not the network's.
pub fn refused(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Advice for the operator who reads that the handshake with a peer failed with `error`.
pub fn cure(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(InvalidCertificate(why)) => reissue(why),
        Some(NoCertificatesPresented) => {
            "the client showed no certificate: `docker --tlsverify`, or DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH"
        }
        Some(AlertReceived(AccessDenied)) => {
            "the other side lets in managers of its cluster only, and our certificate (tlscert) says that we are none"
        }
        Some(AlertReceived(CertificateRevoked)) => {
            "our certificate (tlscert) was revoked: it takes a new one"
        }
        Some(AlertReceived(_)) => {
            "the other side refuses our certificate (tlscert): `swarmd check` says what is wrong with it, the log of \
             the other side why"
        }
        Some(InvalidMessage(_)) => "that port does not speak TLS",
        _ => "check the certificates on both sides, and that the port speaks TLS",
    }
}

fn reissue(why: &CertificateError) -> &'static str {
    match why {
        Expired | ExpiredContext { .. } => {
            "the certificate of the other side has expired (or the clock here is wrong): reissue it"
        }
        NotValidYet | NotValidYetContext { .. } => {
            "the certificate of the other side is not valid yet: is the clock right, here and where it was made?"
        }
        NotValidForName | NotValidForNameContext { .. } => {
            "reissue the certificate of the other side with the address dialled in subjectAltName (a CN does not \
             count): openssl x509 -req ... -extfile <(printf 'subjectAltName=IP:ADDRESS')"
        }
        UnknownIssuer => {
            "the certificate of the other side is not signed by a CA in tlscacert: reissue it with that CA, or add \
             its CA to the file"
        }
        ApplicationVerificationFailure => "it is good, but no manager's: an engine's front takes nobody else",
        InvalidPurpose | InvalidPurposeContext { .. } => {
            "reissue the certificate of the other side with extendedKeyUsage=serverAuth,clientAuth"
        }
        _ => "reissue the certificate of the other side: X.509 v3, CA:FALSE, RSA of 2048 bits or EC, SHA-256",
    }
}
