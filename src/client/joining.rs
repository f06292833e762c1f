//! The key of a machine that joins, on its disk from before it asks until it has its certificate.
//!
//! Else a lost answer would leave an agent in the cluster whose key nobody has, and the machine's address would be that
//! agent's. With the same key the next attempt is the same member.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;

use crate::error::{Error, Kind, Result};
use crate::tls::pki::pin::Joins;
use crate::tls::pki::{Files, request};

/// More than any key of ours.
const LONGEST_KEY: u64 = 4096;

/// The key.
pub(super) struct Joining {
    /// As PEM.
    pub key: String,
    /// Whether an attempt was made with it before.
    pub again: bool,
    path: PathBuf,
}

impl Joining {
    /// The key of the last attempt to join as this, else a new one, which is saved.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn begin(state_dir: &Path, joins: Joins) -> Result<Joining> {
        let path = path(state_dir, joins);
        if let Some(key) = left(&path) {
            return Ok(Joining { key, again: true, path });
        }
        let key = request::new_key()?;
        Files::write(&path, &key)?;
        Ok(Joining { key, again: false, path })
    }

    /// There is no answer. A new key goes again if nobody has certified it: there was no connection to the right manager
    /// (one that failed in its TLS is `Kind::Protocol`), or a refusal: tokens are refused with 500, a CA that is away is 503.
    pub fn failed(&self, error: &Error) {
        let refused = matches!(error.kind, Kind::Connect | Kind::Protocol | Kind::Status(400..=500));
        if refused && !self.again {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// It is over: the key is where it belongs.
    pub fn end(state_dir: &Path) {
        for joins in [Joins::Agent, Joins::Manager] {
            // One that stays is used once more when this machine joins again, as its former key.
            let _ = fs::remove_file(path(state_dir, joins));
        }
    }
}

fn path(state_dir: &Path, joins: Joins) -> PathBuf {
    state_dir.join(format!("joining-{}.pem", joins.word()))
}

/// What an attempt of ours has left. Root does this in a directory of somebody else, who may have put something there
/// that is not his to read: no link is followed, and nothing is taken but a file of our own making.
fn left(path: &Path) -> Option<String> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    is_ours(&file).then_some(())?;
    let mut key = String::new();
    file.take(LONGEST_KEY).read_to_string(&mut key).ok()?;
    request::pin_of(&key).is_ok().then_some(key)
}

fn is_ours(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| {
        meta.is_file()
            && meta.nlink() == 1
            && meta.mode() & 0o077 == 0
            && meta.uid() == nix::unistd::geteuid().as_raw()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_lost_attempt_is_used_again() {
        let home = tempfile::tempdir().unwrap();
        let begin = |joins| Joining::begin(home.path(), joins).unwrap();
        let first = begin(Joins::Agent);
        assert!(!first.again);
        let mode = fs::metadata(path(home.path(), Joins::Agent)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = begin(Joins::Agent);
        assert!(second.again && second.key == first.key);
        assert!(!begin(Joins::Manager).again, "another member has another key");
        // A refusal of this attempt says nothing of the first one; what may have been signed stays.
        second.failed(&Error::us(Kind::Status(403), ""));
        first.failed(&Error::us(Kind::Timeout, ""));
        first.failed(&Error::us(Kind::Status(503), ""));
        assert!(begin(Joins::Agent).again);
        first.failed(&Error::us(Kind::Status(403), ""));
        assert!(!path(home.path(), Joins::Agent).exists());
        Joining::end(home.path());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        assert!(begin(Joins::Agent).key != first.key);
    }

    #[test]
    fn what_somebody_put_there_is_not_taken() {
        let home = tempfile::tempdir().unwrap();
        let (secret, at) = (home.path().join("secret.pem"), path(home.path(), Joins::Agent));
        Files::write(&secret, &request::new_key().unwrap()).unwrap();
        let kept = fs::read_to_string(&secret).unwrap();
        let puts: [&dyn Fn(); 3] = [
            &|| std::os::unix::fs::symlink(&secret, &at).unwrap(),
            &|| fs::hard_link(&secret, &at).unwrap(),
            &|| fs::write(&at, "nonsense").unwrap(),
        ];
        for put in puts {
            put();
            let joining = Joining::begin(home.path(), Joins::Agent).unwrap();
            assert!(!joining.again && joining.key != kept);
            assert_eq!(fs::read_to_string(&secret).unwrap(), kept);
            assert!(Joining::begin(home.path(), Joins::Agent).unwrap().again, "ours is there now");
            fs::remove_file(&at).unwrap();
        }
    }
}
