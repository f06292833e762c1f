//! The list of certificates that count no more, as every manager reads it: a file, looked at when it is asked for.
//!
//! The first manager writes it, others get it from there. A request is held against it, not a handshake, so
//! connections that were open when a certificate was revoked are no way around.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::tls::fresh::Fresh;
use crate::tls::pki::book::Revocation;
use crate::tls::pki::{Files, damaged, failed};

/// What is in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// By serial number.
    pub revoked: BTreeMap<String, Revocation>,
}

/// The list. Cheap to clone.
#[derive(Clone)]
pub struct Revoked(Arc<Fresh<Arc<Listed>>>);

impl Revoked {
    /// Reads the list; no file means that nothing was revoked yet. One that vanishes later changes nothing.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn open(files: &Files) -> Result<Revoked> {
        let path = files.revoked();
        let seen = AtomicBool::new(false);
        let make = move || {
            match path.exists() {
                true => seen.store(true, Ordering::Relaxed),
                // Whoever was revoked stays so.
                false if seen.load(Ordering::Relaxed) => return Err(damaged(&path, "it has vanished")),
                false => {}
            }
            read(&path).map(Arc::new)
        };
        let fresh = Fresh::new(vec![files.revoked()], make)?;
        Ok(Revoked(Arc::new(fresh.called("the list of revoked certificates"))))
    }

    /// Whether the certificate with this serial number counts no more.
    pub fn contains(&self, serial: &str) -> bool {
        self.0.get().revoked.contains_key(serial)
    }

    /// The whole list.
    pub fn list(&self) -> Arc<Listed> {
        self.0.get()
    }
}

/// Takes over the list of the manager with the CA, if it is another than before.
///
/// # Errors
/// Those of the disk.
pub fn write(files: &Files, listed: &Listed) -> Result<()> {
    if read(&files.revoked())? == *listed {
        return Ok(());
    }
    let text = serde_json::to_string_pretty(listed).map_err(|e| failed("write JSON", e))?;
    Files::write(&files.revoked(), &text)
}

/// The file's content.
pub(super) fn read(path: &Path) -> Result<Listed> {
    match Files::read(path)? {
        None => Ok(Listed::default()),
        Some(text) => serde_json::from_str(&text).map_err(|e| damaged(path, &e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_changes_counts_at_once() {
        let home = tempfile::tempdir().unwrap();
        let files = Files::below(home.path());
        let revoked = Revoked::open(&files).unwrap();
        assert!(!revoked.contains("ab"));
        let text = r#"{"revoked": {"ab": {"owner": "user alice", "expires": 5}}}"#;
        Files::write(&files.revoked(), text).unwrap();
        assert!(revoked.contains("ab") && !revoked.contains("cd"));
        // Half a file changes nothing: whoever was revoked stays so.
        Files::write(&files.revoked(), "{").unwrap();
        assert!(revoked.contains("ab"));
        // Nor does none at all, until there is another.
        std::fs::remove_file(files.revoked()).unwrap();
        assert!(revoked.contains("ab"));
        Files::write(&files.revoked(), r#"{"revoked": {}}"#).unwrap();
        assert!(!revoked.contains("ab"));
    }
}
