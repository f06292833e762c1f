//! Reads PEM files: the only user of `rustls-pemfile`.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Kind, Result};

/// The certificates in a file, in order; other blocks are skipped. None at all is an error.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certs: Vec<_> = rustls_pemfile::certs(&mut open(path)?)
        .collect::<std::io::Result<_>>()
        .map_err(|e| bad(path, &e.to_string()))?;
    match certs.is_empty() {
        true => Err(bad(path, "no certificate in it").advise("a PEM file has a BEGIN CERTIFICATE line")),
        false => Ok(certs),
    }
}

/// The first private key in a file: PKCS#1, PKCS#8 or SEC1, unencrypted.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    rustls_pemfile::private_key(&mut open(path)?)
        .map_err(|e| bad(path, &e.to_string()))?
        .ok_or_else(|| bad(path, "no private key in it. Key encrypted?"))
}

/// The certificates in a file as trust anchors.
pub fn roots(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for cert in certificates(path)? {
        roots.add(cert).map_err(|e| bad(path, &e.to_string()))?;
    }
    Ok(roots)
}

/// The certificates in a text, in order; other blocks are skipped.
///
/// # Errors
/// What is wrong with the text.
pub fn certificates_in(text: &str) -> std::io::Result<Vec<CertificateDer<'static>>> {
    rustls_pemfile::certs(&mut text.as_bytes()).collect()
}

/// One certificate as PEM.
pub fn text(cert: &CertificateDer<'_>) -> String {
    let base64 = data_encoding::BASE64.encode(cert);
    let lines = base64.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
    format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>())
}

fn open(path: &Path) -> Result<BufReader<File>> {
    File::open(path).map(BufReader::new).map_err(|e| bad(path, &e.to_string()))
}

fn bad(path: &Path, why: &str) -> Error {
    Error::us(Kind::Config, format!("cannot use {}: {why}", path.display()))
}
