//! The pin of a CA, and the text of a join token that carries it: `SWMD-1-ROLE-PIN-ID-SECRET`. Pure.
//!
//! The pin is the SHA-256 of the CA's public key (SubjectPublicKeyInfo), so it holds as long as the key does. It is no
//! secret; the last part of a token is.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::error::{Error, Kind, Result};
use crate::tls::identity::Who;

/// How every join token begins.
pub const PREFIX: &str = "SWMD-";

/// The SHA-256 of a public key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pin(String);

impl Pin {
    /// Of a public key in its DER form (SubjectPublicKeyInfo).
    pub fn of_key(spki: &[u8]) -> Pin {
        Pin(base32(ring::digest::digest(&ring::digest::SHA256, spki).as_ref()))
    }

    /// Of the key in a certificate; `None` if it is not X.509.
    pub fn of(cert: &CertificateDer<'_>) -> Option<Pin> {
        let (_, cert) = X509Certificate::from_der(cert).ok()?;
        Some(Pin::of_key(cert.public_key().raw))
    }

    /// As it stands in tokens.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl From<String> for Pin {
    fn from(text: String) -> Pin {
        Pin(text)
    }
}

/// Who joins with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Joins {
    Agent,
    Manager,
}

impl Joins {
    /// As it stands in tokens and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Joins::Agent => "agent",
            Joins::Manager => "manager",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Joins> {
        [Joins::Agent, Joins::Manager].into_iter().find(|joins| joins.word() == word)
    }

    /// What its certificate says.
    pub fn who(self) -> Who {
        match self {
            Joins::Agent => Who::Agent,
            Joins::Manager => Who::Manager,
        }
    }
}

/// A join token as a person has it.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Who joins with it.
    pub joins: Joins,
    /// The CA that the manager must show.
    pub pin: Pin,
    /// Which token it is: no secret.
    pub id: String,
    /// What opens the door.
    pub secret: String,
}

impl JoinToken {
    /// Reads one.
    ///
    /// # Errors
    /// `Kind::Invalid`, never with the token in the text.
    pub fn parse(text: &str) -> Result<JoinToken> {
        let bad = |why: &str| {
            Error::client(Kind::Invalid, format!("this is no join token: {why}"))
                .advise("copy the whole line that `swarmd join-token` printed on the manager")
        };
        let parts: Vec<&str> = text.trim().split('-').collect();
        let [kind, version, role, pin, id, secret] = parts.as_slice() else {
            return Err(bad("it has not the form SWMD-1-ROLE-PIN-ID-SECRET"));
        };
        if (*kind, *version) != ("SWMD", "1") {
            return Err(bad("only those that begin with SWMD-1- are known"));
        }
        let joins = Joins::parse(role).ok_or_else(|| bad("its role is neither agent nor manager"))?;
        let word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b));
        if pin.len() != 52 || !word(pin) || id.is_empty() || !word(id) || secret.is_empty() || !word(secret) {
            return Err(bad("a part of it is cut off or mistyped"));
        }
        let (id, secret) = ((*id).to_string(), (*secret).to_string());
        Ok(JoinToken { joins, pin: Pin((*pin).to_string()), id, secret })
    }

    /// The whole text, secret and all.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}1-{}-{}-{}-{}", self.joins.word(), self.pin.text(), self.id, self.secret)
    }
}

/// Without the secret.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({} {})", self.joins.word(), self.id)
    }
}

/// Without padding, in lower case.
pub(super) fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_as_it_was_written() {
        let token = JoinToken {
            joins: Joins::Manager,
            pin: Pin::of_key(b"key"),
            id: "abc234".into(),
            secret: "secretsecret".into(),
        };
        assert_eq!(JoinToken::parse(&format!(" {}\n", token.reveal())).unwrap(), token);
        assert!(!format!("{token:?}").contains("secretsecret"));
    }

    #[test]
    fn what_is_none_is_refused_without_being_shown() {
        let pin = Pin::of_key(b"key");
        let pin = pin.text();
        for text in [
            "",
            "SWMTKN-1-a-b",
            "SWMD-1-agent-x",
            &format!("SWMD-2-agent-{pin}-ab-ssssss"),
            &format!("SWMD-1-boss-{pin}-ab-ssssss"),
            &format!("SWMD-1-agent-{pin}x-ab-ssssss"),
            &format!("SWMD-1-agent-{pin}-ab-"),
            &format!("SWMD-1-agent-{pin}-ab-SSSSSS"),
        ] {
            let error = JoinToken::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("this is no join token"), "{text}: {error}");
            assert!(!error.contains("ssssss"), "{error}");
        }
    }
}
