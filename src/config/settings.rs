//! The configuration in force, shared: who reads it at each use follows a reload without a restart.
//!
//! A [`Switch`] is the one writer. It changes only what can change while the process runs, so a reader never sees a
//! key that needs a restart with another value than at the start.

use std::sync::Arc;

use tokio::sync::watch;

use super::Config;
use super::load::Change;

/// The reader's end. Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub struct Settings(watch::Receiver<Arc<Config>>);

/// The writer's end.
#[derive(Debug)]
pub struct Switch(watch::Sender<Arc<Config>>);

impl Switch {
    /// Starts with `config`.
    pub fn new(config: Config) -> Switch {
        Switch(watch::Sender::new(Arc::new(config)))
    }

    /// A reader.
    pub fn settings(&self) -> Settings {
        Settings(self.0.subscribe())
    }

    /// Takes over what is `live` among `changes`.
    pub fn apply(&self, fresh: &Config, changes: &[Change]) {
        let mut config = Config::clone(&self.0.borrow());
        take_live(&mut config, fresh, changes);
        self.0.send_if_modified(|now| {
            let changed = **now != config;
            if changed {
                *now = Arc::new(config);
            }
            changed
        });
    }
}

/// Takes over into `config` what is `live` among `changes`.
pub fn take_live(config: &mut Config, fresh: &Config, changes: &[Change]) {
    let live = changes.iter().filter(|change| change.live);
    for key in live.filter_map(|change| super::keys::find(change.key)) {
        (key.copy)(config, fresh);
    }
}

impl Settings {
    /// Settings that never change.
    pub fn fixed(config: Config) -> Settings {
        Switch::new(config).settings()
    }

    /// The configuration as it is now. To be asked again at each use.
    pub fn now(&self) -> Arc<Config> {
        Arc::clone(&self.0.borrow())
    }

    /// Ends at the next change that this reader has not seen; never, if there will be none.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::diff;
    use super::super::{Config, Level, Strategy};
    use super::*;

    #[tokio::test]
    async fn readers_see_what_is_live_and_nothing_else() {
        let before = Config::default();
        let switch = Switch::new(before.clone());
        let mut settings = switch.settings();
        let mut fresh = before.clone();
        fresh.manager.strategy = Strategy::Binpack;
        fresh.log.level = Level::Debug;
        fresh.tls.tlsverify = true;
        switch.apply(&fresh, &diff(&before, &fresh));
        settings.changed().await;
        let now = settings.now();
        assert_eq!((now.manager.strategy, now.log.level), (Strategy::Binpack, Level::Debug));
        assert!(!now.tls.tlsverify, "that needs a restart");
        // What still differs is told again at the next reload.
        let left: Vec<_> = diff(&now, &fresh).iter().map(|change| change.key).collect();
        assert_eq!(left, ["tls.tlsverify"]);
        assert_eq!(Settings::fixed(before.clone()).now().manager, before.manager);
    }
}
