//! Files in the state directory: read whole, replaced whole, mode 0600. After a crash a file is either the old
//! one or the new one.
//!
//! What is in them, and what to do when that makes no sense, is their owners' affair.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::{Error, Kind, Result};

/// Reads a file; `None` if there is none yet. `what` names its content in errors: `the token registry`.
pub fn load(path: &Path, what: &str) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => {
            let kind = match e.kind() {
                io::ErrorKind::PermissionDenied => Kind::Permission,
                _ => Kind::Config,
            };
            Err(Error::us(kind, format!("cannot read {}: {e}", path.display()))
                .advise(format!("{what} lives there: check its owner and mode, or set state-dir")))
        }
    }
}

/// Replaces a file, and makes its directory if need be. Blocks on the disk.
pub fn save(path: &Path, what: &str, content: &[u8]) -> Result<()> {
    replace(path, content).map_err(|e| {
        let (kind, advice) = match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
                Kind::Unavailable,
                "make room on that disk: the file there is as it was, and what comes next is saved",
            ),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                (Kind::Permission, "make the state directory writable for this user, or set state-dir")
            }
            _ => (Kind::Unavailable, "see to the disk of the state directory, or set state-dir"),
        };
        Error::us(kind, format!("cannot save {what} to {}: {e}", path.display())).advise(advice)
    })
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir)?;
    let fresh = path.with_extension("json.new");
    // A left-over of a crash may have another mode, which opening would keep.
    match fs::remove_file(&fresh) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let written = write(&fresh, content).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        // Half a file is of no use, and on a full disk it takes the room that the next attempt needs.
        let _ = fs::remove_file(&fresh);
    }
    written?;
    File::open(dir)?.sync_all()
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_saved_is_read_by_us_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("sub").join("x.json");
        assert_eq!(load(&path, "it").unwrap(), None);
        save(&path, "it", b"long content").unwrap();
        save(&path, "it", b"new").unwrap();
        assert_eq!(load(&path, "it").unwrap().unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn failures_name_the_file_and_what_was_to_be_in_it() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        let error = save(&file.join("x.json"), "the list", b"").unwrap_err();
        assert!(error.message.starts_with("cannot save the list to "), "{error}");
        let error = load(home.path(), "the list").unwrap_err();
        assert_eq!(error.kind, Kind::Config);
        assert!(error.advice.unwrap().starts_with("the list lives there"));
    }
}
