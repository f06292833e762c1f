//! Tests of the agent as a whole, with a registry in the same process: joining, leaving, what is said and written.

use std::path::Path;

use tokio::time::{Duration, Instant};

use super::*;
use crate::api::swarmd::talk;
use crate::systemd::beat::Beats;

struct Home {
    directory: tempfile::TempDir,
    registry: Registry,
    config: Config,
    cancel: CancellationToken,
}

impl Home {
    fn new(url: &str, advertise: &str) -> Home {
        let directory = tempfile::tempdir().unwrap();
        let registry = Registry::open(directory.path(), false).unwrap();
        let mut config = Config::default();
        config.discovery.url = Some(url.to_string());
        config.agent.advertise = Some(advertise.replace("HOME", &directory.path().display().to_string()));
        Home { directory, registry, config, cancel: CancellationToken::new() }
    }

    fn start(&self) -> Running {
        let places = Places::of(&self.config, Some(&self.registry), None).unwrap();
        start(&self.config, places, None, self.file(), &Beats::default(), &self.cancel)
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("agent.json")
    }
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Duration::from_secs(20);
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(end, found).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

fn written(file: &Path) -> Option<talk::Agent> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

#[tokio::test]
async fn joins_and_leaves_a_registry_while_the_engine_is_dead() {
    let home = Home::new("token://T", "unix://HOME/no.sock");
    let mut running = home.start();
    running.first_attempt().await;
    assert_eq!(home.registry.list("T").unwrap().len(), 1);
    let status = until("a status with both", || {
        let status = running.status();
        (status.contains(" is registered, every 1m0s") && status.contains("does not answer"))
            .then_some(status)
    });
    assert!(status.await.starts_with("agent: unix:///"));
    let told = until("the file", || {
        written(&home.file()).filter(|a| a.engine.error.is_some() && a.managers[0].entry.is_some())
    })
    .await;
    assert_eq!((told.pid, told.managers.len()), (std::process::id(), 1));
    assert_eq!(told.managers[0].entry, home.config.agent.advertise);
    home.cancel.cancel();
    running.stopped().await;
    assert_eq!(home.registry.list("T").unwrap().len(), 0);
    assert!(!home.file().exists(), "who does not run has no status");
}

#[tokio::test]
async fn each_manager_of_a_list_is_registered_with() {
    let mut home = Home::new("token://T", "h:1");
    home.config.discovery.managers = vec!["127.0.0.1:1".into(), "127.0.0.1:2".into()];
    let running = home.start();
    let told = until("all three were tried", || {
        let tried = |m: &talk::Registration| m.error.is_some() || m.entry.is_some();
        written(&home.file()).filter(|a| a.managers.len() == 3 && a.managers.iter().all(tried))
    })
    .await;
    let names: Vec<&str> = told.managers.iter().map(|m| m.manager.as_str()).collect();
    assert_eq!(names, ["127.0.0.1:1", "127.0.0.1:2", "this manager"]);
    assert_eq!(home.registry.list("T").unwrap(), ["h:1"], "one that is down holds up no other");
    assert!(
        running.status().contains("h:1 is registered with this manager, every 1m0s; not with 127.0.0.1:")
    );
    home.cancel.cancel();
    running.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_random_bounded_and_does_not_hold_up_readiness() {
    let mut waits = Vec::new();
    for _ in 0..8 {
        let mut home = Home::new("token://T", "h:1");
        home.config.agent.delay = Duration::from_secs(30);
        let begun = Instant::now();
        let mut running = home.start();
        running.first_attempt().await;
        assert!(running.status().starts_with("agent: registering h:1 in "), "{}", running.status());
        assert!(home.registry.list("T").unwrap().is_empty());
        while home.registry.list("T").unwrap().is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
        waits.push(begun.elapsed());
        home.cancel.cancel();
        running.stopped().await;
    }
    assert!(waits.iter().all(|w| *w <= Duration::from_secs(31)), "{waits:?}");
    assert!(waits.iter().any(|w| *w != waits[0]), "{waits:?}");
}

#[tokio::test]
async fn written_lists_are_said_to_take_no_registrations() {
    let home = Home::new("nodes://a:1", "a:1");
    let mut running = home.start();
    running.first_attempt().await;
    assert_eq!(running.status(), "agent: a:1 is not registered: not implemented in this discovery service");
    home.cancel.cancel();
    running.stopped().await;
}
