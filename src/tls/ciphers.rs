//! Which ciphers, in which order. All of ring's are good; what differs is how fast this machine is with them.
//!
//! A Raspberry Pi up to the 4 has no instructions for AES: there ChaCha20 is several times as fast.

use std::sync::Arc;

use rustls::SupportedCipherSuite;
use rustls::crypto::{CryptoProvider, ring};

/// ring, with the ciphers that this machine is best at first.
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| rank(*suite, has_aes()));
    Arc::new(provider)
}

/// Whether the processor knows AES.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
pub fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

/// Whether the processor knows AES.
#[cfg(target_arch = "aarch64")]
pub fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

/// Whether the processor knows AES.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
pub fn has_aes() -> bool {
    false
}

/// Place in the order; equal ones stay as ring has them. 128 bits are enough, and faster.
fn rank(suite: SupportedCipherSuite, has_aes: bool) -> (bool, bool, bool) {
    let name = format!("{:?}", suite.suite());
    let is_chacha = name.contains("CHACHA20");
    (suite.tls13().is_none(), is_chacha == has_aes, !is_chacha && !name.contains("AES_128"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_machine_begins_with_what_it_is_best_at() {
        for (has_aes, first, last) in [
            (true, "TLS13_AES_128_GCM_SHA256", "CHACHA20_POLY1305_SHA256"),
            (false, "TLS13_CHACHA20_POLY1305_SHA256", "AES_256_GCM_SHA384"),
        ] {
            let mut all = ring::default_provider().cipher_suites;
            all.sort_by_key(|suite| rank(*suite, has_aes));
            let names: Vec<String> = all.iter().map(|suite| format!("{:?}", suite.suite())).collect();
            assert_eq!(names[0], first);
            assert!(names[names.len() - 1].ends_with(last), "{names:?}");
            assert!(names[2].starts_with("TLS13_") && names[3].starts_with("TLS_"), "{names:?}");
        }
    }
}
