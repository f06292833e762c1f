//! This machine: its clock, its name, what its kernel counts, how many files may be open.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, rlim_t};

use super::finding::Finding;
use crate::clock;
use crate::config::Config;
use crate::systemd::host::Host;

/// Nothing of this program is older: 2025-01-01. Machines without a battery clock start in 1970, or when they were
/// last on.
const NOT_BEFORE: i64 = 1_735_689_600;

/// Names that images of operating systems come with: two machines with one name cannot be told apart.
const DEFAULT_NAMES: [&str; 10] = [
    "localhost",
    "raspberrypi",
    "debian",
    "ubuntu",
    "dietpi",
    "armbian",
    "orangepi",
    "odroid",
    "fedora",
    "host",
];

/// Fewer open files than this do not carry a few dozen streams and engines.
const FEW_FILES: rlim_t = 4096;

/// Whether the clock can be right.
pub fn clock() -> Vec<Finding> {
    vec![judge_clock(clock::unix_seconds(), Path::new("/run/systemd/timesync"))]
}

fn judge_clock(now: i64, timesync: &Path) -> Finding {
    let shown = clock::rfc3339(now);
    if now < NOT_BEFORE {
        let text =
            format!("it says {shown}: certificates are not valid yet, and leases end at the wrong time");
        return Finding::fail("clock", text, "`timedatectl set-ntp true`, or `date -s '2026-01-31 12:00'`");
    }
    match (timesync.join("synchronized").exists(), timesync.exists()) {
        (true, _) => Finding::pass("clock", format!("{shown}, synchronised")),
        (false, true) => Finding::warn(
            "clock",
            format!("{shown}, but not synchronised since this machine was started"),
            "see `timedatectl timesync-status`: is a time server reachable?",
        ),
        // Another program may keep it.
        (false, false) => Finding::pass("clock", shown),
    }
}

/// Whether the name tells this machine from others.
pub fn name() -> Vec<Finding> {
    vec![judge_name(&Host::read().name)]
}

fn judge_name(name: &str) -> Finding {
    match DEFAULT_NAMES.contains(&name.to_ascii_lowercase().as_str()) {
        false => Finding::pass("name", format!("this machine is {name}")),
        true => Finding::warn(
            "name",
            format!("this machine is called {name}, as many are: nodes with one name cannot be told apart"),
            "`hostnamectl set-hostname pi1`, then `systemctl restart docker`",
        ),
    }
}

/// Whether the kernel counts the memory of containers, if there is an engine here.
pub fn memory(config: &Config) -> Vec<Finding> {
    let url = config.discovery.url.as_deref().unwrap_or_default();
    let here = config.role.joins() || url.contains("unix://");
    if here { vec![judge_memory(Path::new("/"))] } else { Vec::new() }
}

fn judge_memory(root: &Path) -> Finding {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let unified = read("sys/fs/cgroup/cgroup.controllers");
    let counted = unified.split_whitespace().any(|controller| controller == "memory")
        || root.join("sys/fs/cgroup/memory").is_dir()
        || read("proc/cgroups").lines().any(|line| line.starts_with("memory") && line.ends_with("\t1"));
    if counted {
        return Finding::pass("memory", "the kernel counts the memory of containers");
    }
    let options = "cgroup_enable=memory cgroup_memory=1";
    let model = read("proc/device-tree/model");
    let cure = match model.contains("Raspberry Pi") {
        true => {
            let new = root.join("boot/firmware/cmdline.txt").exists();
            let file = if new { "/boot/firmware/cmdline.txt" } else { "/boot/cmdline.txt" };
            format!("put `{options}` at the end of the one line in {file}, then reboot")
        }
        false => format!("start the kernel with `{options}`"),
    };
    let text = "the kernel does not count memory (no memory cgroup): `docker run -m` and reservations have no effect";
    Finding::warn("memory", text, cure)
}

/// Whether enough files may be open.
pub fn descriptors() -> Vec<Finding> {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Vec::new() };
    vec![match hard < FEW_FILES {
        false => Finding::pass("files", format!("up to {} may be open at once", hard.min(65_536))),
        true => Finding::warn(
            "files",
            format!("only {hard} may be open at once, and each stream takes two"),
            "the unit has LimitNOFILE=65536; for a shell: `ulimit -n 65536`",
        ),
    }]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_clock_from_the_past_is_found() {
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join("timesync");
        assert_eq!(judge_clock(86_400, &run).verdict, Verdict::Fail);
        assert_eq!(judge_clock(NOT_BEFORE, &run).verdict, Verdict::Pass, "who knows who keeps it");
        fs::create_dir(&run).unwrap();
        assert_eq!(judge_clock(NOT_BEFORE, &run).verdict, Verdict::Warn);
        fs::write(run.join("synchronized"), "").unwrap();
        assert_eq!(judge_clock(NOT_BEFORE, &run).verdict, Verdict::Pass);
    }

    #[test]
    fn names_that_many_have_are_found() {
        assert_eq!(judge_name("raspberrypi").verdict, Verdict::Warn);
        assert_eq!(judge_name("pi1").verdict, Verdict::Pass);
    }

    #[test]
    fn a_pi_without_memory_cgroup_gets_its_cure() {
        let home = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t1\t1\nmemory\t0\t1\t0\n");
        put("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n");
        let plain = judge_memory(home.path());
        assert_eq!((plain.verdict, plain.cure.unwrap().contains("cmdline.txt")), (Verdict::Warn, false));
        put("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0");
        assert!(judge_memory(home.path()).cure.unwrap().contains(" in /boot/cmdline.txt"));
        put("boot/firmware/cmdline.txt", "");
        assert!(judge_memory(home.path()).cure.unwrap().contains("/boot/firmware/cmdline.txt"));
        put("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
        assert_eq!(judge_memory(home.path()).verdict, Verdict::Pass);
    }
}
