//! Whether roles are in use here, where nothing says so but the certificates that people show: those made by hand may
//! name roles, and mostly they do not.
//!
//! It is remembered in the state directory: whoever had a role before a restart has it after that, too.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::access::{Caller, Standing};
use crate::config::{Access, Config};
use crate::state_file;

/// The file that is there once somebody with a role has come. Whoever gives roles up removes it.
pub const FILE_NAME: &str = "roles-in-use";

/// What is known of that.
pub struct Roles {
    path: PathBuf,
    seen: AtomicBool,
}

impl Roles {
    /// As it is remembered in `state_dir`.
    pub fn open(state_dir: &Path) -> Roles {
        let path = state_dir.join(FILE_NAME);
        let seen = AtomicBool::new(path.exists());
        Roles { path, seen }
    }

    /// Somebody calls. Who comes with a role first is written down, in the background.
    pub fn note(&self, caller: &Caller) {
        if matches!(caller.standing, Standing::User(_)) && !self.seen.swap(true, Ordering::Relaxed) {
            let path = self.path.clone();
            tokio::task::spawn_blocking(move || {
                if let Err(error) = state_file::save(&path, "that roles are in use", b"") {
                    tracing::warn!("that is forgotten with a restart: {error}");
                }
            });
        }
    }

    /// Whether a certificate may limit somebody: by the cluster's own ones, by `[access]`, or since somebody has shown one.
    pub fn may_limit(&self, config: &Config) -> bool {
        let configured = config.has_pki() || config.access != Access::default();
        config.tls.tlsverify && (configured || self.seen.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::identity::Role;

    #[tokio::test]
    async fn a_role_that_was_shown_is_remembered() {
        let home = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.tls.tlsverify = true;
        let roles = Roles::open(home.path());
        for standing in [Standing::Trusted, Standing::Manager, Standing::Agent, Standing::Stranger] {
            roles.note(&Caller { standing, ..Caller::trusted() });
        }
        assert!(!roles.may_limit(&config), "certificates by hand, without roles");
        let strict = Config { access: Access { reader_logs: true, ..Access::default() }, ..config.clone() };
        assert!(roles.may_limit(&strict));
        roles.note(&Caller { standing: Standing::User(Role::Deployer), ..Caller::trusted() });
        assert!(roles.may_limit(&config));
        config.tls.tlsverify = false;
        assert!(!roles.may_limit(&config), "nobody has to show one");
        config.tls.tlsverify = true;
        while !Roles::open(home.path()).may_limit(&config) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}
