//! The account that the daemon runs as, and which files it may use.
//!
//! For commands that root runs: root may everything, the daemon may not.

use std::ffi::CString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{AccessFlags, Gid, Group, Uid, User, access, getgrouplist};

/// The account of the package's unit.
pub const ACCOUNT: &str = "swarmd";

/// Who may not read and write a file, and which group may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barred {
    /// The account.
    pub who: String,
    /// The file's group.
    pub group: String,
}

impl Barred {
    /// What the person in charge may type.
    pub fn cure(&self) -> String {
        format!("usermod -aG {} {}", self.group, self.who)
    }
}

/// What keeps the daemon from a file that is there; ourselves, where we are not root or the account does not exist.
pub fn barred(path: &Path) -> Option<Barred> {
    let meta = fs::metadata(path).ok()?;
    let daemon = User::from_name(ACCOUNT).ok().flatten().filter(|_| Uid::effective().is_root());
    let who = match daemon {
        Some(user) if !may(&user, &meta) => user.name,
        None if access(path, AccessFlags::R_OK | AccessFlags::W_OK).is_err() => {
            match User::from_uid(Uid::effective()) {
                Ok(Some(user)) => user.name,
                _ => Uid::effective().to_string(),
            }
        }
        _ => return None,
    };
    let group = Gid::from_raw(meta.gid());
    let group = Group::from_gid(group).ok().flatten().map_or_else(|| group.to_string(), |g| g.name);
    Some(Barred { who, group })
}

/// Whether this account may read and write a file.
fn may(user: &User, meta: &Metadata) -> bool {
    const BOTH: u32 = 0o6;
    let mode = meta.mode();
    let groups = CString::new(user.name.as_str()).ok().and_then(|name| getgrouplist(&name, user.gid).ok());
    let member = groups.unwrap_or_default().contains(&Gid::from_raw(meta.gid()));
    user.uid.is_root()
        || mode & BOTH == BOTH
        || (member && mode >> 3 & BOTH == BOTH)
        || (meta.uid() == user.uid.as_raw() && mode >> 6 & BOTH == BOTH)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_group_gives_access() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
        let meta = fs::metadata(&path).unwrap();
        let root = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
        let stranger = |gid: u32| User {
            name: "nobody-of-that-name".into(),
            uid: Uid::from_raw(meta.uid() + 1),
            gid: Gid::from_raw(gid),
            ..root.clone()
        };
        assert!(may(&stranger(meta.gid()), &meta));
        assert!(!may(&stranger(meta.gid() + 1), &meta));
        assert_eq!(barred(&home.path().join("none")), None);
    }
}
