//! What the certificates look like: of a CA, of its successor signed by it, and of members and users.
//!
//! Keys and times come in; whom to give a certificate is decided elsewhere.

use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::error::Result;
use crate::tls::identity::{Identity, Who};
use crate::tls::pki::{BACKDATED, failed, hex, random};

/// Ten years.
const LIFE_OF_A_CA: Duration = Duration::from_secs(3650 * 24 * 3600);

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// For whom it is.
    pub who: Who,
    /// The name of the node, manager or user.
    pub name: String,
    /// Names and addresses in subjectAltName.
    pub hosts: Vec<String>,
    /// How long it lives.
    pub life: Duration,
}

/// A name for a new CA: no two are called the same.
pub fn new_name() -> Result<String> {
    Ok(format!("swarmd CA {}", hex(&random::<4>()?)))
}

/// A CA's own certificate, self-signed. `now` in seconds since the epoch.
pub fn root(key: &KeyPair, name: &str, now: i64) -> Result<Certificate> {
    let params = authority(name, 1, now)?;
    params.self_signed(key).map_err(|e| failed("make a CA", e))
}

/// The certificate of another CA, signed by this one: for those who trust this one only.
pub fn cross(
    of: &Issuer<'_, KeyPair>,
    name: &str,
    by: &Issuer<'_, KeyPair>,
    now: i64,
) -> Result<Certificate> {
    let params = authority(name, 0, now)?;
    params.signed_by(of.key(), by).map_err(|e| failed("sign the new CA", e))
}

fn authority(name: &str, below: u8, now: i64) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![]).map_err(|e| failed("make a CA", e))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    life(&mut params, now, LIFE_OF_A_CA);
    params.serial_number = Some(serial()?);
    Ok(params)
}

/// When a certificate ends, seconds since the epoch; `None` if it is not X.509.
pub fn end_of(cert: &CertificateDer<'_>) -> Option<i64> {
    let (_, cert) = X509Certificate::from_der(cert).ok()?;
    Some(cert.validity().not_after.timestamp())
}

/// A certificate for a public key. Its life must be one that ends before the year 10000.
pub fn leaf(
    leaf: &Leaf,
    key: &impl PublicKeyData,
    by: &Issuer<'_, KeyPair>,
    now: i64,
) -> Result<(Certificate, Identity)> {
    let mut params = CertificateParams::new(leaf.hosts.clone()).map_err(|e| failed("name its hosts", e))?;
    let subject = &mut params.distinguished_name;
    *subject = DistinguishedName::new();
    if let Some(unit) = leaf.who.unit() {
        subject.push(DnType::OrganizationalUnitName, unit);
    }
    if let Who::User(role) = leaf.who {
        subject.push(DnType::OrganizationName, role.word());
    }
    subject.push(DnType::CommonName, leaf.name.as_str());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match leaf.who {
        Who::User(_) => vec![ExtendedKeyUsagePurpose::ClientAuth],
        _ => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
    };
    params.use_authority_key_identifier_extension = true;
    life(&mut params, now, leaf.life);
    let number = serial()?;
    let serial = hex(&number.to_bytes());
    params.serial_number = Some(number);
    let cert = params.signed_by(key, by).map_err(|e| failed("sign a certificate", e))?;
    Ok((cert, Identity { kind: leaf.who, name: leaf.name.clone(), serial }))
}

fn life(params: &mut CertificateParams, now: i64, life: Duration) {
    let epoch = date_time_ymd(1970, 1, 1);
    let at = |seconds: i64| epoch + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    params.not_before = at(now - BACKDATED);
    params.not_after = at(now) + life;
}

/// 127 random bits, of which the first byte is not zero: so it has one spelling.
fn serial() -> Result<SerialNumber> {
    let mut bytes = random::<16>()?;
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}
