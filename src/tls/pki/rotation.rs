//! Another CA in place of the one that there is, while everything runs on.
//!
//! ```text
//!  rotate:  a new CA signs from now on; both are trusted; the new one is also sent as the old one has signed it
//!           every member sees that at its next look, and renews its certificate
//!  finish:  the old CA is trusted no more: by itself once nobody has a certificate of it, or by order
//! ```

use std::collections::{BTreeMap, BTreeSet};

use rcgen::{KeyPair, PublicKeyData};

use crate::error::{Error, Kind, Result};
use crate::tls::pki::authority::{Authority, Ca};
use crate::tls::pki::book::Record;
use crate::tls::pki::pin::Pin;
use crate::tls::pki::{Files, failed, issue};

/// How a rotation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The pin of the CA that signs.
    pub ca: Pin,
    /// Whether another one is trusted beside it.
    pub rotating: bool,
    /// The newest certificate of each owner.
    pub members: Vec<Record>,
    /// The serial numbers of those that are not of the CA that signs.
    pub behind: BTreeSet<String>,
    /// By the serial numbers of those: of others that their owners have and that are still good.
    pub older: BTreeMap<String, Vec<String>>,
}

impl Authority {
    /// Begins a rotation.
    ///
    /// # Errors
    /// `Kind::Conflict` while another is under way.
    pub fn rotate(&self, now: i64) -> Result<()> {
        let files = self.files();
        let mut state = self.state();
        if !state.former.is_empty() {
            return Err(Error::client(Kind::Conflict, "the CA is being replaced already")
                .advise("`swarmd pki status` shows who has no new certificate yet; `swarmd pki rotate --finish` ends it"));
        }
        let key = KeyPair::generate().map_err(|e| failed("make a key", e))?;
        let (name, text) = (issue::new_name()?, key.serialize_pem());
        let pin = Pin::of_key(&key.subject_public_key_info());
        let root = issue::root(&key, &name, now)?;
        let ca = Ca::of(root.der(), key, pin)?;
        let cross = issue::cross(&ca.issuer, &name, &state.ca.issuer, now)?.pem();
        let former = vec![state.ca.pem.clone()];
        // The key last: with it the new CA is the one that signs. Before that it is merely one more that is trusted.
        Files::write(&files.cross(), &cross)?;
        Files::write(&files.bundle(), &(ca.pem.clone() + &former.concat()))?;
        Files::write(&files.ca_key(), &text)?;
        (state.ca, state.former, state.cross) = (ca, former, Some(cross));
        Ok(())
    }

    /// Ends a rotation. `by_force`: also if that locks somebody out. Whether there was anything to end.
    ///
    /// # Errors
    /// `Kind::Conflict`, with the names of those who still have a certificate of the old CA only.
    pub fn finish(&self, by_force: bool, now: i64) -> Result<bool> {
        let mut state = self.state();
        if state.former.is_empty() {
            return Ok(false);
        }
        state.book.prune(now);
        let behind: Vec<String> =
            state.book.behind(state.ca.pin.text()).iter().map(|r| format!("{} {}", r.kind, r.name)).collect();
        if !behind.is_empty() && !by_force {
            let text = format!("no new certificate yet: {}", behind.join(", "));
            return Err(Error::client(Kind::Conflict, text).advise("wait, or lock them out with --finish"));
        }
        Files::write(&self.files().bundle(), &state.ca.pem)?;
        state.former.clear();
        state.cross = None;
        let _ = std::fs::remove_file(self.files().cross());
        Ok(true)
    }

    /// How it stands.
    pub fn standing(&self, now: i64) -> Standing {
        let state = self.state();
        let live = |record: &&Record| record.expires > now;
        let ca = state.ca.pin.clone();
        Standing {
            rotating: !state.former.is_empty(),
            behind: state.book.behind(ca.text()).into_iter().filter(live).map(|r| r.serial.clone()).collect(),
            older: state
                .book
                .latest()
                .iter()
                .map(|r| (r.serial.clone(), state.book.beside(r, now)))
                .collect(),
            members: state.book.latest().into_iter().filter(live).cloned().collect(),
            ca,
        }
    }
}
