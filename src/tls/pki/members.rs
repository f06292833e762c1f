//! The files of a member: its key, its certificate, the CAs that it trusts. What stands in them, and how they are
//! replaced.
//!
//! The key stays the same for as long as the machine is a member, so a new certificate is one file that is replaced as
//! a whole, and no connection ever sees half a pair. A new key comes with joining anew.

use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::error::{Error, Kind, Result};
use crate::tls::identity::Identity;
use crate::tls::pem;
use crate::tls::pki::pin::Pin;
use crate::tls::pki::{BACKDATED, Files, request};

/// A member's certificate as far as renewing it depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Whose it is.
    pub identity: Identity,
    /// When it was issued, seconds since the epoch.
    pub issued: i64,
    /// When it ends.
    pub expires: i64,
    /// Names and addresses in it.
    pub hosts: Vec<String>,
    /// The pin of the CA that signed it, if that is among those it came with.
    pub ca: Option<Pin>,
}

impl Own {
    /// Reads the certificate; `None` if there is none yet.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn read(files: &Files) -> Result<Option<Own>> {
        if !files.cert().exists() {
            return Ok(None);
        }
        let chain = pem::certificates(&files.cert())?;
        let bad = || {
            Error::us(Kind::Config, format!("cannot use {}: it is no certificate", files.cert().display()))
        };
        Own::of(&chain).map(Some).ok_or_else(bad)
    }

    /// Takes a certificate and those behind it apart; `None` if it is not X.509.
    pub fn of(chain: &[CertificateDer<'_>]) -> Option<Own> {
        let leaf = chain.first()?;
        let (_, cert) = X509Certificate::from_der(leaf).ok()?;
        let names = cert.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(host).collect());
        let signer = chain[1..].iter().find(|ca| {
            X509Certificate::from_der(ca).is_ok_and(|(_, ca)| {
                ca.subject() == cert.issuer() && cert.verify_signature(Some(ca.public_key())).is_ok()
            })
        });
        Some(Own {
            identity: Identity::of(leaf)?,
            issued: cert.validity().not_before.timestamp() + BACKDATED,
            expires: cert.validity().not_after.timestamp(),
            hosts: names.unwrap_or_default(),
            ca: signer.and_then(Pin::of),
        })
    }

    /// How long it lives.
    pub fn life(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.expires - self.issued).unwrap_or(0))
    }

    /// When to renew it: after `part` of its life, which is a number from 0 to 1.
    pub fn renewal(&self, part: f64) -> i64 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a life is no more than years"
        )]
        let after = ((self.expires - self.issued).max(0) as f64 * part) as i64;
        self.issued + after
    }

    /// Whether it is for this name or address.
    pub fn is_for(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_string()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
        },
        _ => None,
    }
}

/// Our key; made if there is none yet.
///
/// # Errors
/// Those of the disk.
pub fn key(files: &Files) -> Result<String> {
    if let Some(key) = Files::read(&files.key())? {
        return Ok(key);
    }
    files.make_directory()?;
    let key = request::new_key()?;
    Files::write(&files.key(), &key)?;
    Ok(key)
}

/// Takes a new certificate into use, with the CAs to trust. These first: so there is no moment at which our own CA is
/// not among them.
///
/// # Errors
/// Those of the disk.
pub fn replace(files: &Files, chain: &str, bundle: &str) -> Result<()> {
    trust(files, bundle)?;
    Files::write(&files.cert(), chain)
}

/// Takes another set of trusted CAs into use. Whether it is another.
///
/// # Errors
/// Those of the disk.
pub fn trust(files: &Files, bundle: &str) -> Result<bool> {
    if Files::read(&files.bundle())?.as_deref() == Some(bundle) {
        return Ok(false);
    }
    Files::write(&files.bundle(), bundle)?;
    Ok(true)
}
