//! What the CA takes back: all certificates of an owner, or one by its number.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::tls::pki::authority::Authority;
use crate::tls::pki::book::{Revocation, Struck};

impl Authority {
    /// All certificates of this owner count no more. Their number.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn revoke(&self, kind: &str, name: &str) -> Result<usize> {
        let mut state = self.state();
        let mut book = state.book.clone();
        let count = book.revoke(kind, name);
        self.keep_book(&mut state, book)?;
        Ok(count)
    }

    /// The certificate with this serial number counts no more, also one that is not on the book.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn revoke_one(&self, serial: &str) -> Result<Struck> {
        let mut state = self.state();
        let mut book = state.book.clone();
        // Nothing that the CA has signed lives longer than itself.
        let struck = book.revoke_one(serial, state.ca.ends);
        self.keep_book(&mut state, book)?;
        Ok(struck)
    }

    /// Certificates that count no more, by serial number.
    pub fn revoked(&self) -> BTreeMap<String, Revocation> {
        self.state().book.revoked.clone()
    }
}
