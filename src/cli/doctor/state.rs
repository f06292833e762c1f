//! The state directory: there, writable by the daemon, with room on its disk.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, Uid, User, access};

use super::finding::Finding;
use crate::config::Config;
use crate::systemd::account::ACCOUNT;

const MIB: u64 = 1 << 20;
/// Below this the next write may fail; below the second somebody should look.
const NO_ROOM: u64 = 2 * MIB;
const LITTLE_ROOM: u64 = 50 * MIB;

/// What there is to say about it.
pub fn look(config: &Config) -> Vec<Finding> {
    let dir = &config.state_dir;
    // Root may write everywhere: the question is whether the daemon may.
    let daemon = match Uid::effective().is_root() {
        true => User::from_name(ACCOUNT).ok().flatten(),
        false => None,
    };
    vec![access_of(dir, daemon.as_ref()), room(dir)].into_iter().flatten().collect()
}

fn access_of(dir: &Path, daemon: Option<&User>) -> Option<Finding> {
    let shown = dir.display();
    let Ok(meta) = fs::metadata(dir) else {
        return Some(Finding::pass("state", format!("{shown} is made at the first start")));
    };
    if !meta.is_dir() {
        let text = format!("{shown} is no directory");
        return Some(Finding::fail("state", text, "move it away, or set state-dir"));
    }
    let (writable, who) = match daemon {
        Some(user) => (meta.uid() == user.uid.as_raw(), user.name.as_str()),
        None => (access(dir, AccessFlags::W_OK | AccessFlags::X_OK).is_ok(), "this user"),
    };
    Some(match writable {
        true => Finding::pass("state", format!("{shown} can be written")),
        false if daemon.is_some() => Finding::fail(
            "state",
            format!("{shown} does not belong to {who}"),
            format!("`chown -R {who}: {shown}`"),
        ),
        false => Finding::warn(
            "state",
            format!("{who} cannot write to {shown}"),
            "run `swarmd check` as root or as the daemon's account; otherwise set state-dir",
        ),
    })
}

#[allow(clippy::useless_conversion, reason = "these are 32 bits wide on 32-bit ARM")]
fn room(dir: &Path) -> Option<Finding> {
    let there = dir.ancestors().find(|path| path.exists())?;
    let disk = statvfs(there).ok()?;
    let free = u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()));
    Some(judge_room(free, disk.flags().contains(FsFlags::ST_RDONLY), dir))
}

fn judge_room(free: u64, read_only: bool, dir: &Path) -> Finding {
    let shown = dir.display();
    let text = format!("{} MiB are free on the disk of {shown}", free / MIB);
    let cure = "make room: `docker system prune`, `journalctl --vacuum-size=100M`";
    match free {
        _ if read_only => Finding::fail(
            "state",
            format!("the disk of {shown} is mounted read-only"),
            "see `dmesg`: a card or disk that fails is mounted so; else `mount -o remount,rw`",
        ),
        ..NO_ROOM => Finding::fail("state", text, cure),
        NO_ROOM..LITTLE_ROOM => Finding::warn("state", text, cure),
        _ => Finding::pass("state", text),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_disk_is_judged_by_its_room() {
        let dir = Path::new("/var/lib/swarmd");
        for (free, read_only, verdict) in [
            (0, false, Verdict::Fail),
            (10 * MIB, false, Verdict::Warn),
            (1000 * MIB, false, Verdict::Pass),
            (1000 * MIB, true, Verdict::Fail),
        ] {
            assert_eq!(judge_room(free, read_only, dir).verdict, verdict, "{free}");
        }
    }

    #[test]
    fn a_directory_of_somebody_else_is_found() {
        let home = tempfile::tempdir().unwrap();
        let missing = home.path().join("none");
        assert_eq!(access_of(&missing, None).unwrap().verdict, Verdict::Pass);
        assert_eq!(access_of(home.path(), None).unwrap().verdict, Verdict::Pass);
        let nobody = User { uid: Uid::from_raw(fs::metadata(home.path()).unwrap().uid() + 1), ..user() };
        let found = access_of(home.path(), Some(&nobody)).unwrap();
        assert_eq!(found.verdict, Verdict::Fail);
        assert!(found.cure.unwrap().starts_with("`chown -R "));
        fs::write(&missing, "").unwrap();
        assert_eq!(access_of(&missing, None).unwrap().verdict, Verdict::Fail);
    }

    fn user() -> User {
        User::from_uid(Uid::from_raw(0)).unwrap().unwrap()
    }
}
