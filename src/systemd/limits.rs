//! How many files the process may have open.
//!
//! Each attached stream costs two descriptors, each engine a few more, and the usual soft limit of 1024 is
//! there for programs that use select(2), which we do not. It sets nothing else.

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// More than this is never needed; some containers have a hard limit of a thousand million.
const ENOUGH: rlim_t = 65_536;

/// Raises the soft limit of open files to the hard one, at most to 65536. Failure is only a warning.
pub fn raise_open_files() {
    let outcome = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let Some(wanted) = wanted(soft, hard) else {
            return Ok((soft, soft));
        };
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map(|()| (soft, wanted))
    });
    match outcome {
        Ok((before, now)) if before == now => tracing::debug!(limit = now, "limit of open files"),
        Ok((before, now)) => tracing::debug!(before, limit = now, "raised the limit of open files"),
        Err(error) => tracing::warn!(%error, "could not raise the limit of open files"),
    }
}

/// The soft limit to set, if any. It never goes down.
fn wanted(soft: rlim_t, hard: rlim_t) -> Option<rlim_t> {
    let target = hard.min(ENOUGH);
    (target > soft).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_up_to_the_hard_limit_or_to_enough_and_never_down() {
        for (soft, hard, expected) in [
            (1024, 4096, Some(4096)),
            (1024, 1_073_741_816, Some(ENOUGH)),
            (1024, rlim_t::MAX, Some(ENOUGH)),
            (4096, 4096, None),
            (100_000, 200_000, None),
        ] {
            assert_eq!(wanted(soft, hard), expected, "{soft} of {hard}");
        }
    }

    #[test]
    fn the_process_has_what_was_asked_for() {
        raise_open_files();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert!(soft >= hard.min(ENOUGH));
    }
}
