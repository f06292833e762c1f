//! What is wrong with configured certificates, and what to reissue: over their bytes, at a time given.
//!
//! A peer only says "bad certificate" when it hangs up, and often to nobody; so what can be known beforehand is
//! said beforehand. Two weights: *fatal* is what this process cannot use at all, or what no verifying peer takes,
//! whatever its age; everything that some peers take is a *warning*. It does *not* read files (`inspect` does) and
//! replaces no verification: the handshake is rustls' own.

use std::path::{Path, PathBuf};

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{FromDer, X509Version};
use x509_parser::public_key::PublicKey;

use crate::clock::rfc3339;

/// What one purpose (the API, the engines, a store) was given.
pub struct Given {
    /// Trust anchors; `None` where the peer is not verified.
    pub ca: Option<(PathBuf, Vec<CertificateDer<'static>>)>,
    /// The certificate and its intermediates, leaf first.
    pub cert: (PathBuf, Vec<CertificateDer<'static>>),
    /// Its private key.
    pub key: (PathBuf, PrivateKeyDer<'static>),
    /// What it is for.
    pub uses: Uses,
}

/// What a pair is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses {
    /// Shown to clients of the API.
    pub server: bool,
    /// Shown to engines, registries, stores and other managers.
    pub client: bool,
}

/// How bad a flaw is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Some peers will not take it, or not for long.
    Warning,
    /// It cannot work.
    Fatal,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// How bad it is.
    pub weight: Weight,
    /// The file and what is wrong with it.
    pub what: String,
    /// What to do about it.
    pub cure: String,
}

/// Certificates that end sooner are mentioned.
const SOON: i64 = 14 * 24 * 3600;
const WEAKEST_RSA: usize = 2048;
/// `sha1WithRSAEncryption`, `md5WithRSAEncryption`, `ecdsa-with-SHA1`.
const BROKEN_SIGNATURES: [&str; 3] = ["1.2.840.113549.1.1.5", "1.2.840.113549.1.1.4", "1.2.840.10045.4.1"];

/// All flaws, the leaf's first. `now` in seconds since the epoch.
pub fn lint(given: &Given, now: i64) -> Vec<Flaw> {
    let (path, chain) = &given.cert;
    let mut report = Report { path, flaws: Vec::new() };
    let Some(leaf) = chain.first().and_then(parsed) else {
        report.fatal("is not an X.509 certificate", "give the PEM file that the CA made");
        return report.flaws;
    };
    report.form(&leaf);
    report.usage(&leaf, given);
    report.dates(&leaf, given, now);
    report.key(&leaf, given);
    if let Some((path, certs)) = &given.ca {
        let cas: Vec<_> = certs.iter().filter_map(parsed).collect();
        let chain: Vec<_> = chain.iter().skip(1).filter_map(parsed).collect();
        // A broken signature cannot be checked here, and was told already.
        let signed = has_broken_signature(&leaf) || is_signed(&leaf, &chain, &cas);
        if !signed {
            let what = format!("is not signed by the CA in {}", path.display());
            report.warn(
                &what,
                &reissue_or(
                    "or give the CA that signed it: other managers of this cluster, \
                                                and clients and engines with the same CA, refuse it",
                ),
            );
        }
        report.path = path;
        report.authority(&cas, signed, now);
    }
    report.flaws
}

fn parsed<'a>(der: &'a CertificateDer<'static>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, cert)| cert)
}

struct Report<'a> {
    path: &'a Path,
    flaws: Vec<Flaw>,
}

impl Report<'_> {
    fn fatal(&mut self, what: &str, cure: &str) {
        self.add(Weight::Fatal, what, cure);
    }

    fn warn(&mut self, what: &str, cure: &str) {
        self.add(Weight::Warning, what, cure);
    }

    fn add(&mut self, weight: Weight, what: &str, cure: &str) {
        let what = format!("{}: {what}", self.path.display());
        self.flaws.push(Flaw { weight, what, cure: cure.to_string() });
    }

    /// What the certificate is, whoever looks at it.
    fn form(&mut self, leaf: &X509Certificate<'_>) {
        let again = &format!("reissue it: {REISSUE}");
        if leaf.version() != X509Version::V3 {
            self.fatal("is an X.509 v1 certificate, which cannot be used", again);
        }
        if let Some(bits) = weak_rsa(leaf) {
            let cure = format!("make a new key and certificate: {NEW_KEY} && {REISSUE}");
            self.fatal(&format!("has an RSA key of {bits} bits; at least {WEAKEST_RSA} are needed"), &cure);
        }
        if has_broken_signature(leaf) {
            self.warn("is signed with SHA-1 or MD5, which is refused by all but old peers", again);
        }
        if leaf.is_ca() {
            self.warn(
                "is a CA certificate (CA:TRUE), which other managers refuse from a server or client",
                again,
            );
        }
    }

    /// What it may be used for.
    fn usage(&mut self, leaf: &X509Certificate<'_>, given: &Given) {
        // Version 1 has no extensions: it was refused already, and the cure is the same.
        if leaf.version() != X509Version::V3 {
            return;
        }
        let usage = leaf.extended_key_usage().ok().flatten().map(|usage| usage.value);
        let (server, client) =
            usage.map_or((true, true), |u| (u.server_auth || u.any, u.client_auth || u.any));
        if given.uses.server && !server {
            let what =
                "is not for servers (no serverAuth in extendedKeyUsage), but shown to clients of the API";
            self.add(fatal_if(given.ca.is_some()), what, &format!("reissue it: {REISSUE}"));
        }
        if given.uses.client && !client {
            let what = "is not for clients (no clientAuth in extendedKeyUsage), but shown to engines, which then \
                        refuse it with \"incompatible key usage\"";
            self.warn(what, &reissue_or("or give a second pair as [tls.client] cert and key"));
        }
        if given.uses.server && leaf.subject_alternative_name().ok().flatten().is_none() {
            let what =
                "names no host in subjectAltName; a CN alone counts for nobody but Docker before 20.10";
            self.warn(what, &format!("reissue it: {REISSUE}"));
        }
    }

    fn dates(&mut self, leaf: &X509Certificate<'_>, given: &Given, now: i64) {
        let again = &format!("reissue it: {REISSUE}");
        let (from, to) = validity(leaf);
        if now > to {
            // A pair that is only shown to engines and stores may never be asked for.
            let weight = fatal_if(given.uses.server && given.ca.is_some());
            self.add(weight, &format!("expired on {}", rfc3339(to)), again);
        } else if now < from {
            // Never fatal: a machine without a battery clock starts in the past.
            let cure = format!("if the clock of this machine is right ({}), {again}", rfc3339(now));
            self.warn(&format!("is not valid before {}", rfc3339(from)), &cure);
        } else if to - now < SOON {
            self.warn(&format!("expires on {}", rfc3339(to)), again);
        }
    }

    fn key(&mut self, leaf: &X509Certificate<'_>, given: &Given) {
        let (path, key) = &given.key;
        let cert = self.path.display();
        if weak_rsa(leaf).is_some() {
            return; // said already
        }
        match any_supported_type(key).map(|key| key.public_key().map(|public| public.to_vec())) {
            Ok(Some(public)) if public != leaf.public_key().raw => {
                let cure = format!(
                    "give the key that the certificate was made for (`openssl x509 -noout -pubkey -in \
                     {cert}` and `openssl pkey -pubout -in {}` must print the same)",
                    path.display()
                );
                self.fatal(&format!("does not belong to the key {}", path.display()), &cure);
            }
            Ok(_) => {}
            Err(error) => {
                let cure = format!("make a new key and certificate: {NEW_KEY} && {REISSUE}");
                self.fatal(&format!("its key {} cannot be used: {error}", path.display()), &cure);
            }
        }
    }

    /// The file of trust anchors. `signed`: our own certificate is signed by one of them.
    fn authority(&mut self, cas: &[X509Certificate<'_>], signed: bool, now: i64) {
        // Version 1 could not yet say that it is a CA.
        let may_sign = |cert: &X509Certificate<'_>| cert.is_ca() || cert.version() != X509Version::V3;
        if !cas.iter().any(may_sign) {
            // A self-signed certificate that is its own CA is odd, but it works.
            let cure = "give the certificate of the CA that signs your servers and clients (ca.pem), not one that \
                        it signed";
            self.add(fatal_if(!signed), "holds no CA certificate (CA:TRUE)", cure);
        }
        let new_ca = "make a new CA, and reissue what it signed: openssl req -x509 -newkey rsa:4096 -nodes -days \
                      3650 -subj /CN=swarm-ca -keyout ca-key.pem -out ca.pem";
        let weak = cas.iter().filter_map(weak_rsa).max();
        if let Some(bits) = weak {
            let what =
                format!("has an RSA key of {bits} bits; what it signed is refused below {WEAKEST_RSA}");
            self.add(fatal_if(cas.iter().all(|ca| weak_rsa(ca).is_some())), &what, new_ca);
        }
        if let Some(end) = cas.iter().map(|ca| validity(ca).1).min().filter(|end| now > *end) {
            self.warn(&format!("a CA in it expired on {}", rfc3339(end)), new_ca);
        }
    }
}

const NEW_KEY: &str = "openssl req -new -newkey rsa:2048 -nodes -keyout key.pem -subj /CN=NAME -out cert.csr";
const REISSUE: &str = "openssl x509 -req -in cert.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -sha256 -days 730 \
    -extfile <(printf 'subjectAltName=DNS:NAME,IP:ADDRESS\\nextendedKeyUsage=serverAuth,clientAuth') -out cert.pem";

fn reissue_or(otherwise: &str) -> String {
    format!("reissue it ({REISSUE}), {otherwise}")
}

fn fatal_if(hopeless: bool) -> Weight {
    if hopeless { Weight::Fatal } else { Weight::Warning }
}

fn validity(cert: &X509Certificate<'_>) -> (i64, i64) {
    (cert.validity().not_before.timestamp(), cert.validity().not_after.timestamp())
}

/// The length of a key that is too short.
fn weak_rsa(cert: &X509Certificate<'_>) -> Option<usize> {
    match cert.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()).filter(|bits| *bits < WEAKEST_RSA),
        _ => None,
    }
}

fn has_broken_signature(cert: &X509Certificate<'_>) -> bool {
    BROKEN_SIGNATURES.contains(&cert.signature_algorithm.algorithm.to_id_string().as_str())
}

/// Whether `leaf` leads to one of `cas`, by way of the intermediates that are sent along.
fn is_signed(leaf: &X509Certificate<'_>, chain: &[X509Certificate<'_>], cas: &[X509Certificate<'_>]) -> bool {
    // What a weak key signed cannot be checked here; the key is a flaw of its own.
    let verifies = |by: &X509Certificate<'_>, cert: &X509Certificate<'_>| {
        weak_rsa(by).is_some() || cert.verify_signature(Some(by.public_key())).is_ok()
    };
    let signed = |by: &X509Certificate<'_>, cert: &X509Certificate<'_>| {
        by.subject() == cert.issuer() && verifies(by, cert)
    };
    let mut current = leaf;
    for _ in 0..=chain.len() {
        if cas.iter().any(|ca| signed(ca, current)) {
            return true;
        }
        match chain.iter().find(|next| signed(next, current)) {
            Some(next) => current = next,
            None => return false,
        }
    }
    false
}
