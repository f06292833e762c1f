//! The roles as they are started, in this process: what their loops say of themselves.

use tokio::time::sleep;

use super::*;
use crate::config::{Listen, Role};
use crate::systemd::beat::PERIOD;

/// Manager and agent with a store at which nobody answers, on tokio's own time: it goes on whenever nothing else does,
/// so each wait lasts as long as it may.
#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_well_never_looks_stuck() {
    let home = tempfile::tempdir().unwrap();
    let mut config = Config { role: Role::Both, state_dir: home.path().into(), ..Config::default() };
    config.discovery.url = Some("consul://127.0.0.1:1/x".into());
    config.manager.host = vec![Listen::Unix(home.path().join("socket"))];
    config.manager.advertise = Some("127.0.0.1:3376".into());
    config.manager.replication = true;
    config.agent.advertise = Some("127.0.0.1:1".into());
    config.advertise.lan = false;
    let switch = Switch::new(config);
    let (beats, cancel) = (Beats::default(), CancellationToken::new());
    let mut roles =
        Roles::start(&switch.settings(), None, Inherited::default(), &Notifier::default(), &beats, &cancel)
            .unwrap();
    roles.first_steps().await;
    for _ in 0..5000 {
        assert_eq!(beats.stuck(), None);
        sleep(PERIOD).await;
    }
    let turning = format!("{beats:?}");
    for name in [
        "the reading of discovery",
        "the list of members",
        "the election",
        "the sharing of what operators say",
        "the rescheduler",
        "/socket",
        "the agent",
        "the look at the engine",
        "the registration with consul",
    ] {
        assert!(turning.contains(name), "{name} is not among {turning}");
    }
    cancel.cancel();
    roles.drain().await;
    assert_eq!(beats.stuck(), None);
}
