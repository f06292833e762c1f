//! What those who are no admins may say in the query of a request.
//!
//! Engines also read parameters from bodies of the form type: `api::admit` lets none of those through.

use crate::access::policy::forbidden;
use crate::access::shape::Judge;
use crate::access::strict::Tree;
use crate::config::{Access, Leave};
use crate::error::Result;

/// Parameters of `POST /build` that concern the build and nothing of the host.
const BUILD: &[&str] = &[
    "t",
    "dockerfile",
    "extrahosts",
    "remote",
    "q",
    "nocache",
    "cachefrom",
    "pull",
    "rm",
    "forcerm",
    "memory",
    "memswap",
    "cpushares",
    "cpusetcpus",
    "cpusetmems",
    "cpuperiod",
    "cpuquota",
    "buildargs",
    "shmsize",
    "ulimits",
    "squash",
    "labels",
    "platform",
    "target",
    "outputs",
    "session",
    "buildid",
    "version",
];

/// Which parameters are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// None: engines know no harmful ones there.
    Any,
    /// `POST /containers/{name}/start`: with a checkpoint it would read a directory of the host.
    Start,
    /// `POST /build`
    Build,
}

/// Holds parameters against what may be said. Returns the networks that they name; none of them may be the host's.
///
/// # Errors
/// 403
pub fn check<'q>(
    asked: Asked,
    pairs: impl Iterator<Item = (&'q str, &'q str)>,
    access: &Access,
) -> Result<Vec<String>> {
    let mut judge = Judge::new(access);
    for (key, value) in pairs.filter(|(_, value)| !value.is_empty()) {
        match (asked, key) {
            (Asked::Any, _) | (Asked::Start, "detachKeys") => {}
            (Asked::Build, key) if BUILD.contains(&key) => {}
            (Asked::Build, "networkmode") => {
                super::rules::network_mode(&mut judge, &Tree::Text(value.to_string()))?;
            }
            (Asked::Build, "cgroupparent") => judge.needs("cgroupparent", Leave::HostCgroup)?,
            (Asked::Build, "securityopt") => judge.needs("securityopt", Leave::SecurityOptions)?,
            (Asked::Start | Asked::Build, key) => {
                return Err(forbidden(format!("the parameter {key:?} is not for this role"))
                    .advise("it takes the role admin"));
            }
        }
    }
    Ok(judge.named.networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(asked: Asked, pairs: &[(&str, &str)]) -> bool {
        check(asked, pairs.iter().copied(), &Access::default()).is_ok()
    }

    #[test]
    fn builds_stay_off_the_host() {
        assert!(may(Asked::Build, &[("t", "a"), ("networkmode", "default"), ("cgroupparent", "")]));
        for bad in [
            ("networkmode", "host"),
            ("networkmode", "container:x"),
            ("cgroupparent", "/x"),
            ("securityopt", "seccomp=unconfined"),
            ("Networkmode", "host"),
            ("new", "1"),
        ] {
            assert!(!may(Asked::Build, &[bad]), "{bad:?}");
            assert!(!may(Asked::Build, &[(bad.0, ""), bad]), "{bad:?} behind an empty one");
        }
        let named = check(Asked::Build, [("networkmode", "back")].into_iter(), &Access::default());
        assert_eq!(named.unwrap(), ["back"]);
        let access = Access { deployer_allow: vec![Leave::HostNetwork], ..Access::default() };
        assert!(check(Asked::Build, [("networkmode", "host")].into_iter(), &access).is_ok());
    }

    #[test]
    fn starts_read_no_checkpoints() {
        assert!(may(Asked::Start, &[("detachKeys", "ctrl-p"), ("checkpoint", "")]));
        assert!(!may(Asked::Start, &[("checkpoint-dir", "/etc")]));
        assert!(!may(Asked::Start, &[("checkpoint", "a")]));
        assert!(may(Asked::Any, &[("whatever", "x")]));
    }
}
