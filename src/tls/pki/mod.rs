//! The cluster's own certificates: its CA, what that has issued, and the tokens by which machines join.
//!
//! ```text
//!  join token ─► tokens ─┐
//!  CSR ─► request ───────┼─► authority ─► issue ─► certificate + bundle
//!  names ─► policy ──────┘        │
//!                            issued.json, revoked.json, tokens.json
//! ```
//!
//! Only the first manager has an [`authority`]; all others have the files of a member. Who asks over which wire is the
//! affair of `enroll` and `api`. The key of the CA never leaves the first manager, that of a member never the member,
//! and of a request nothing counts but its public key.

pub mod authority;
pub mod book;
pub mod claims;
pub mod issue;
pub mod members;
mod minting;
pub mod own;
pub mod pin;
pub mod policy;
pub mod request;
pub mod revoked;
mod revoking;
pub mod rotation;
pub mod tokens;

#[cfg(test)]
pub(crate) mod authority_tests;
#[cfg(test)]
mod claims_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod peers_tests;

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::state_file;

/// Certificates count from an hour before they were made, for clocks that are behind.
pub const BACKDATED: i64 = 3600;

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    /// Below this directory, `STATE_DIR/pki`.
    pub fn below(directory: &Path) -> Files {
        Files { directory: directory.to_path_buf() }
    }

    /// The trusted CA certificates; during a rotation more than one.
    pub fn bundle(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// Our own certificate, with those that lead to its CA.
    pub fn cert(&self) -> PathBuf {
        self.directory.join("cert.pem")
    }

    /// Its key.
    pub fn key(&self) -> PathBuf {
        self.directory.join("key.pem")
    }

    /// The key of the CA; on the first manager only.
    pub fn ca_key(&self) -> PathBuf {
        self.directory.join("ca-key.pem")
    }

    /// During a rotation: the new CA, signed by the old one.
    pub fn cross(&self) -> PathBuf {
        self.directory.join("ca-cross.pem")
    }

    /// Serial numbers of certificates that count no more.
    pub fn revoked(&self) -> PathBuf {
        self.directory.join("revoked.json")
    }

    /// What was issued.
    pub fn issued(&self) -> PathBuf {
        self.directory.join("issued.json")
    }

    /// Join tokens, hashed.
    pub fn tokens(&self) -> PathBuf {
        self.directory.join("tokens.json")
    }

    /// The secret of the list of engines that this manager keeps.
    pub fn own_list(&self) -> PathBuf {
        self.directory.join("list.json")
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory, for us alone.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn make_directory(&self) -> Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        let private = PermissionsExt::from_mode(0o700);
        made.and_then(|()| std::fs::set_permissions(&self.directory, private)).map_err(|e| {
            let kind = match e.kind() {
                std::io::ErrorKind::PermissionDenied => Kind::Permission,
                _ => Kind::Unavailable,
            };
            Error::us(kind, format!("cannot make {}: {e}", self.directory.display()))
                .advise("make the state directory writable, or set state-dir")
        })
    }

    /// Reads a file of text; `None` if it is not there.
    ///
    /// # Errors
    /// Those of the disk; what is no text.
    pub fn read(path: &Path) -> Result<Option<String>> {
        let Some(bytes) = state_file::load(path, WHAT)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|_| damaged(path, "it is no text"))
    }

    /// Replaces a file, mode 0600.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write(path: &Path, text: &str) -> Result<()> {
        state_file::save(path, WHAT, text.as_bytes())
    }
}

const WHAT: &str = "the cluster's certificates";

/// A file in which something else stands than we wrote.
fn damaged(path: &Path, why: &str) -> Error {
    Error::us(Kind::Config, format!("cannot use {}: {why}", path.display()))
        .advise("restore the directory from a copy; without one, remove it and let all machines join again")
}

/// What rcgen and ring could not do.
fn failed(what: &str, why: impl std::fmt::Display) -> Error {
    Error::us(Kind::Internal, format!("cannot {what}: {why}"))
}

/// Random bytes of the operating system.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|e| failed("draw random numbers", e))?;
    Ok(bytes)
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
