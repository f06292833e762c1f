//! Tests of the hosted registry: rights, restarts, failing disks, time.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::discovery::watch::watch;
use crate::discovery::{Backend, Means, Spec};
use crate::systemd::beat::Beats;
use tokio_util::sync::CancellationToken;

fn registry() -> (TempDir, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), false).unwrap();
    (dir, registry)
}

fn file(dir: &TempDir) -> String {
    fs::read_to_string(dir.path().join(registry_file::FILE_NAME)).unwrap_or_default()
}

#[tokio::test]
async fn who_may_make_tokens() {
    let (dir, registry) = registry();
    for from in [Origin::InProcess, Origin::Unix, Origin::Loopback, Origin::Verified] {
        let token = registry.create(from).await.unwrap();
        assert_eq!(token.len(), 32);
        assert!(token.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        assert_eq!(registry.list(&token).unwrap(), Vec::<String>::new());
    }
    let refused = registry.create(Origin::Remote).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Permission);
    let open = Registry::open(dir.path(), true).unwrap();
    open.create(Origin::Remote).await.unwrap();
}

#[tokio::test]
async fn sockets_come_from_this_machine_only() {
    let (_dir, registry) = registry();
    registry.local("T").unwrap();
    for (from, taken) in [
        (Origin::InProcess, true),
        (Origin::Unix, true),
        (Origin::Loopback, true),
        (Origin::Verified, false),
        (Origin::Remote, false),
    ] {
        let answer = registry.register("T", "unix:///run/docker.sock", 0, from).await;
        assert_eq!(answer.is_ok(), taken, "{from:?}");
        registry.register("T", "10.0.0.1:2375", 0, from).await.unwrap();
    }
}

#[tokio::test]
async fn entries_and_tokens_survive_a_restart() {
    let (dir, registry) = registry();
    let token = registry.create(Origin::Unix).await.unwrap();
    registry.local("T").unwrap();
    registry.register("T", " b:1\n", 0, Origin::Remote).await.unwrap();
    registry.register("T", "tcp://a:1", 0, Origin::Remote).await.unwrap();
    drop(registry);
    let registry = Registry::open(dir.path(), false).unwrap();
    assert_eq!(registry.list("T").unwrap(), ["b:1", "a:1"]);
    assert_eq!(registry.list(&token).unwrap(), Vec::<String>::new());
    registry.withdraw("T", "b:1").await.unwrap();
    registry.delete(&token).await.unwrap();
    drop(registry);
    let registry = Registry::open(dir.path(), false).unwrap();
    assert_eq!(registry.list("T").unwrap(), ["a:1"]);
    assert_eq!(registry.list(&token).unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn adopted_tokens_stay_known_when_deleted() {
    let (_dir, registry) = registry();
    let local = registry.local("T").unwrap();
    registry.register("T", "a:1", 0, Origin::Remote).await.unwrap();
    registry.delete("T").await.unwrap();
    assert_eq!(local.list().unwrap(), []);
    assert!(registry.local("no good").is_err());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_alone_are_saved_rarely() {
    let (dir, registry) = registry();
    registry.local("T").unwrap();
    let mut files = HashSet::new();
    for _ in 0..9 {
        registry.register("T", "a:1", 180, Origin::Remote).await.unwrap();
        files.insert(file(&dir));
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    // The first, and then every second one. (The wall clock stands still here: the file's content does,
    // too, so saves are counted by the generation.)
    assert_eq!(registry.held().generation, 1 + 1 + 4);
    assert!(!files.contains(""));
}

#[tokio::test(start_paused = true)]
async fn entries_expire_on_a_clock_that_does_not_jump() {
    let (_dir, registry) = registry();
    registry.local("T").unwrap();
    registry.register("T", "a:1", 10, Origin::Remote).await.unwrap();
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(registry.list("T").unwrap(), ["a:1"]);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(registry.list("T").unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_failing_disk_turns_no_engine_away_and_is_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let registry = Registry::open(&state, false).unwrap();
    fs::write(&state, "in the way").unwrap();
    registry.local("T").unwrap();
    registry.register("T", "a:1", 0, Origin::Remote).await.unwrap();
    assert_eq!(registry.list("T").unwrap(), ["a:1"]);
    assert!(registry.save_error().is_some());
    // A token that cannot be kept is not handed out.
    let clusters = registry.held().store.clusters().count();
    assert!(registry.create(Origin::Unix).await.is_err());
    assert_eq!(registry.held().store.clusters().count(), clusters);
    fs::remove_file(&state).unwrap();
    registry.register("T", "a:1", 0, Origin::Remote).await.unwrap();
    assert_eq!(registry.save_error(), None);
    let again = Registry::open(&state, false).unwrap();
    assert_eq!(again.list("T").unwrap(), ["a:1"]);
}

#[test]
fn a_damaged_file_stops_the_start() {
    let (dir, _) = registry();
    fs::write(dir.path().join(registry_file::FILE_NAME), "{").unwrap();
    let error = Registry::open(dir.path(), false).err().unwrap();
    assert_eq!(error.kind, Kind::Config);
}

#[tokio::test]
async fn parallel_joins_are_all_saved() {
    let (dir, registry) = registry();
    registry.local("T").unwrap();
    let joins = (0..64).map(|n| {
        let registry = registry.clone();
        tokio::spawn(async move { registry.register("T", &format!("h{n}:1"), 0, Origin::Remote).await })
    });
    for join in joins.collect::<Vec<_>>() {
        join.await.unwrap().unwrap();
    }
    let again = Registry::open(dir.path(), false).unwrap();
    assert_eq!(again.list("T").unwrap().len(), 64);
}

#[tokio::test(start_paused = true)]
async fn a_join_reaches_watchers_in_this_process_at_once() {
    let (_dir, registry) = registry();
    let means = Means { hosted: Some(&registry), ..Means::default() };
    let backend = Backend::open(&Spec::parse("token://T").unwrap(), &means).unwrap();
    let heartbeat = Duration::from_secs(3600);
    let mut state = watch(backend, heartbeat, Beats::default().join("the list"), CancellationToken::new());
    state.wait_for(|s| s.deliveries == 1).await.unwrap();
    let before = Instant::now();
    registry.register("T", "a:1", 0, Origin::Remote).await.unwrap();
    let joined = state.wait_for(|s| s.deliveries == 2).await.unwrap().clone();
    assert_eq!(joined.entries.unwrap().len(), 1);
    assert!(before.elapsed() < heartbeat / 2);
}
