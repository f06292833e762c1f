//! Requests for certificates (CSR): made where the key is, read where the CA is.
//!
//! Of a request nothing counts but the public key, and that its owner has the private one.

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, DnValue, KeyPair,
    PKCS_ECDSA_P256_SHA256, PublicKey, PublicKeyData,
};

use crate::error::{Error, Kind, Result};
use crate::tls::pki::failed;
use crate::tls::pki::pin::Pin;

/// More than any request of ours.
pub const LARGEST: usize = 8 << 10;

/// A new key (ECDSA P-256), as PEM.
///
/// # Errors
/// `Kind::Internal` when there are no random numbers.
pub fn new_key() -> Result<String> {
    let key = KeyPair::generate().map_err(|e| failed("make a key", e))?;
    Ok(key.serialize_pem())
}

/// A request for the owner of this key, as PEM. It names nobody: that is the CA's word.
///
/// # Errors
/// `Kind::Config` when this is no key.
pub fn for_key(key: &str) -> Result<String> {
    let bad = |e: rcgen::Error| Error::us(Kind::Config, format!("cannot use our key: {e}"));
    let key = KeyPair::from_pem(key).map_err(bad)?;
    let params = CertificateParams::new(vec![]).map_err(bad)?;
    let request = params.serialize_request(&key).map_err(|e| failed("make a request", e))?;
    request.pem().map_err(|e| failed("make a request", e))
}

/// A request by which the owner of a key says that `successor`, another key of his, takes its place, as PEM. It is good
/// for that one alone: whoever gets hold of it can do nothing with it.
///
/// # Errors
/// `Kind::Config` when this is no key.
pub fn for_successor(key: &str, successor: &Pin) -> Result<String> {
    let bad = |e: rcgen::Error| Error::us(Kind::Config, format!("cannot use our key: {e}"));
    let key = KeyPair::from_pem(key).map_err(bad)?;
    let mut params = CertificateParams::new(vec![]).map_err(bad)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, successor.text());
    let request = params.serialize_request(&key).map_err(|e| failed("make a request", e))?;
    request.pem().map_err(|e| failed("make a request", e))
}

/// The pin of this key's public half.
///
/// # Errors
/// `Kind::Config` when this is no key.
pub fn pin_of(key: &str) -> Result<Pin> {
    let key =
        KeyPair::from_pem(key).map_err(|e| Error::us(Kind::Config, format!("cannot use our key: {e}")))?;
    Ok(Pin::of_key(&key.subject_public_key_info()))
}

/// The public key in a request.
pub struct Wanted {
    /// For the certificate.
    pub key: PublicKey,
    /// Its DER form (SubjectPublicKeyInfo).
    pub spki: Vec<u8>,
    /// What its subject says (`CN`): nothing that counts, but from `for_successor`.
    subject: Option<DnValue>,
}

impl Wanted {
    /// Whether it was made by `for_successor` for this key.
    pub fn yields_to(&self, successor: &Pin) -> bool {
        self.subject == Some(DnValue::Utf8String(successor.text().to_string()))
    }
}

/// Reads a request, and verifies that it was made with the private key.
///
/// # Errors
/// `Kind::Invalid` for anything else, and for keys other than ECDSA P-256.
pub fn read(pem: &str) -> Result<Wanted> {
    let bad = |why: String| {
        Error::client(Kind::Invalid, format!("the certificate request cannot be used: {why}"))
            .advise("it is made by `swarmd join`, with a new key of ECDSA P-256")
    };
    if pem.len() > LARGEST {
        return Err(bad("it is too long".into()));
    }
    let request = CertificateSigningRequestParams::from_pem(pem).map_err(|e| bad(e.to_string()))?;
    let subject = request.params.distinguished_name.get(&DnType::CommonName).cloned();
    let key = request.public_key;
    if key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
        return Err(bad("its key is of another kind".into()));
    }
    let spki = key.subject_public_key_info();
    Ok(Wanted { key, spki, subject })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_of_a_key_can_ask_for_its_certificate() {
        let (mine, other) = (new_key().unwrap(), new_key().unwrap());
        let request = for_key(&mine).unwrap();
        let spki = KeyPair::from_pem(&mine).unwrap().subject_public_key_info();
        assert_eq!(read(&request).unwrap().spki, spki);
        // The other's key under the signature of the first.
        let der = |pem: &str| {
            let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            data_encoding::BASE64.decode(body.as_bytes()).unwrap()
        };
        let mut forged = der(&request);
        let own = KeyPair::from_pem(&mine).unwrap().public_key_raw().to_vec();
        let foreign = KeyPair::from_pem(&other).unwrap().public_key_raw().to_vec();
        let at = forged.windows(own.len()).position(|part| part == own).unwrap();
        forged[at..at + own.len()].copy_from_slice(&foreign);
        let text = data_encoding::BASE64.encode(&forged);
        let forged =
            format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n");
        assert!(read(&forged).is_err());
        assert!(read("nonsense").is_err());
        assert!(read(&"x".repeat(LARGEST + 1)).is_err());
    }

    #[test]
    fn a_weaker_key_is_refused() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let request = CertificateParams::new(vec![]).unwrap().serialize_request(&key).unwrap();
        assert!(read(&request.pem().unwrap()).err().unwrap().message.contains("another kind"));
    }
}
