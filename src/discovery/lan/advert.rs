//! What a manager says about itself in the TXT record of its service, and the reading of what others say.
//!
//! | key | value |
//! |---|---|
//! | `txtvers` | `1` |
//! | `tokens` | digests of the tokens it hosts, with commas |
//! | `tls` | `yes` or `no` |
//! | `version` | of swarmd |
//! | `api` | `host:port` to connect to, if not the addresses and the port of the service |
//!
//! Pure. Others may say anything: what is malformed or too long is no advert.

use ring::digest::{SHA256, digest};

use crate::discovery::entry;
use crate::discovery::registry_store::TokenHash;
use crate::docker::endpoint::Endpoint;

/// Digests that fit into one value of a TXT record (255 bytes with its key).
pub const MOST_TOKENS: usize = 14;
/// Hexadecimal digits of a digest.
const DIGITS: usize = 16;
const LONGEST_VERSION: usize = 32;
const VERSION: &str = "1";

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advert {
    /// Digests of tokens, see [`token_digest`].
    pub tokens: Vec<String>,
    /// Whether the API speaks TLS.
    pub tls: bool,
    /// Version of swarmd.
    pub version: String,
    /// Where the API is, if not where the service is.
    pub api: Option<Endpoint>,
}

/// By what a token is known on the LAN. It is made of the hash that the registry keeps, in a domain of its own,
/// and cut: it tells tokens apart and opens nothing.
pub fn token_digest(hash: &TokenHash) -> String {
    let digest = digest(&SHA256, format!("swarmd: token on the LAN, 1\n{hash}").as_bytes());
    digest.as_ref().iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

impl Advert {
    /// As pairs of a TXT record.
    pub fn to_txt(&self) -> Vec<(&'static str, String)> {
        let tokens: Vec<&str> = self.tokens.iter().take(MOST_TOKENS).map(String::as_str).collect();
        let tls = if self.tls { "yes" } else { "no" };
        let mut pairs = vec![
            ("txtvers", VERSION.to_string()),
            ("tokens", tokens.join(",")),
            ("tls", tls.to_string()),
            ("version", self.version.clone()),
        ];
        pairs.extend(self.api.as_ref().map(|api| ("api", api.to_string())));
        pairs
    }

    /// Reads the pairs; `None` if they are none of ours.
    pub fn of_txt<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Option<Advert> {
        let tls = match (get("txtvers")?, get("tls")?) {
            (VERSION, "yes") => true,
            (VERSION, "no") => false,
            _ => return None,
        };
        let tokens: Vec<String> = get("tokens")?.split(',').map(str::to_string).collect();
        let version = get("version").unwrap_or_default();
        let printable = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        let sound = tokens.len() <= MOST_TOKENS
            && tokens.iter().all(|t| is_digest(t))
            && version.len() <= LONGEST_VERSION
            && printable(version);
        let api = match get("api") {
            None => None,
            Some(text) => Some(entry::parse(text).ok().filter(|e| matches!(e, Endpoint::Tcp { .. }))?),
        };
        sound.then(|| Advert { tokens, tls, version: version.to_string(), api })
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::registry_store::hash;
    use proptest::prelude::*;

    fn read(pairs: &[(&str, &str)]) -> Option<Advert> {
        Advert::of_txt(|key| pairs.iter().find(|(k, _)| *k == key).map(|(_, v)| *v))
    }

    #[test]
    fn a_digest_says_nothing_of_the_token_but_which_it_is() {
        let of = |token: &str| token_digest(&hash(token));
        assert_eq!(of("abc"), of("abc"));
        assert_ne!(of("abc"), of("abd"));
        assert!(is_digest(&of("abc")));
        assert!(!hash("abc").contains(&of("abc")), "nor is it a part of what is kept on disk");
    }

    #[test]
    fn what_is_not_ours_is_no_advert() {
        let good = [("txtvers", "1"), ("tokens", "0123456789abcdef"), ("tls", "no"), ("version", "2.0.0")];
        assert!(read(&good).is_some());
        let many = ["0123456789abcdef"; MOST_TOKENS + 1].join(",");
        for (key, value) in [
            ("txtvers", "2"),
            ("tokens", ""),
            ("tokens", "0123456789ABCDEF"),
            ("tokens", "0123456789abcdef,"),
            ("tokens", many.as_str()),
            ("tls", "maybe"),
            ("version", "2 0"),
            ("version", "123456789012345678901234567890123"),
            ("api", "boss"),
            ("api", "unix:///run/x"),
        ] {
            let pairs: Vec<_> = good.into_iter().filter(|(k, _)| *k != key).chain([(key, value)]).collect();
            assert_eq!(read(&pairs), None, "{key}={value}");
        }
        assert_eq!(read(&good[1..]), None);
    }

    proptest! {
        #[test]
        fn what_is_told_is_read(
            tokens in prop::collection::vec("[0-9a-f]{16}", 1..=MOST_TOKENS), tls in any::<bool>(),
            version in "[0-9a-z.+-]{0,32}", port in prop::option::of(1u16..),
        ) {
            let api = port.map(|port| Endpoint::Tcp { host: "10.0.0.1".into(), port });
            let advert = Advert { tokens, tls, version, api };
            let txt = advert.to_txt();
            for (key, value) in &txt {
                prop_assert!(key.len() + value.len() < 255, "one string of a TXT record");
            }
            let pairs: Vec<(&str, &str)> = txt.iter().map(|(k, v)| (*k, v.as_str())).collect();
            prop_assert_eq!(read(&pairs), Some(advert));
        }

        #[test]
        fn no_text_panics(pairs in prop::collection::vec(("txtvers|tokens|tls|version|api", ".{0,40}"), 0..6)) {
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let _ = read(&pairs);
        }
    }
}
