//! Bad company: engines that misbehave at length, and how little engines that behave are asked.

use serde_json::Value;

use crate::rig::{Manager, engine, engines, sleeper, until};
use crate::sim::{Fault, Kind, Profile, SimEngine};

/// Everything that a user may do, past the first engine.
async fn use_others(manager: &Manager, round: &str) {
    for path in ["/containers/json?all=1", "/images/json", "/networks", "/volumes", "/info", "/version"] {
        manager.get(path).await.fine();
    }
    let mut body = sleeper();
    body["Env"] = serde_json::json!(["constraint:node!=node-0"]);
    for i in 0..3 {
        let name = format!("{round}-{i}");
        manager.run(&name, &body).await;
        manager.get(&format!("/containers/{name}/json")).await.fine();
        manager.call("DELETE", &format!("/containers/{name}?force=1"), &Value::Null).await.fine();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_misbehaves_is_put_aside_and_costs_nobody_anything() {
    let engines = engines(3).await;
    let manager = Manager::of(&engines).await;
    manager.get("/containers/json?all=1").await.fine();
    let before = manager.memory();
    for (round, kind) in [("late", Kind::Latency { ms: 20_000 }), ("flood", Kind::Flood)] {
        engines[0].fault(Fault::everywhere(kind)).await;
        engines[0].fault(Fault::everywhere(Kind::EndEvents)).await;
        use_others(&manager, round).await;
        manager.in_state(&engines[0], "Unhealthy").await;
        use_others(&manager, round).await;
        engines[0].clear_faults().await;
        manager.all_healthy(3).await;
    }
    // A flood is cut off after a MiB or so, each time.
    assert!(manager.memory() < before + (100 << 10), "{} KiB, {before} before", manager.memory());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_floods_from_the_start_never_gets_in() {
    let engines = engines(2).await;
    engines[0].fault(Fault::everywhere(Kind::Flood)).await;
    let manager = Manager::starting(&engines, "");
    manager.in_state(&engines[1], "Healthy").await;
    let told = async || Some(manager.row(&engines[0]).await).filter(|row| row.error.contains("endless"));
    assert_eq!(until("the reason", told).await.status, "Pending");
    use_others(&manager, "well").await;
}

/// Requests on an engine, but for pings.
fn asked(engine: &SimEngine) -> u64 {
    engine.calls("") - engine.calls("/_ping")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_is_asked_little() {
    let engines = vec![engine(Profile { containers: 5, ..Profile::named("pi1") }).await];
    let manager = Manager::of(&engines).await;
    let details = || engines[0].calls("GET /containers/{id}/json");
    until("the details", async || (details() == 5).then_some(())).await;
    assert_eq!(asked(&engines[0]) - 5, 7, "{:?}", engines[0].recent_calls());

    engines[0].forget_calls();
    manager.run("web", &sleeper()).await;
    let listed = async || {
        let list = manager.get("/containers/json").await.fine().json();
        list.as_array()?.iter().find(|c| c["Names"][0] == "/pi1/web").cloned()
    };
    let entry = until("the container in the list", listed).await;
    assert_eq!((&entry["State"], &entry["Image"]), (&"running".into(), &"busybox".into()));
    assert!(entry["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].is_string(), "{entry}");
    let calls = engines[0].recent_calls();
    assert!(asked(&engines[0]) <= 3, "create, start, list: {calls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blink_of_the_whole_network_brings_no_storm() {
    let engines = engines(20).await;
    let manager = Manager::of(&engines).await;
    engines.iter().for_each(SimEngine::forget_calls);
    for engine in &engines {
        engine.fault(Fault::everywhere(Kind::EndEvents)).await;
    }
    for engine in &engines {
        until("a new stream", async || (engine.calls("/events") > 0).then_some(())).await;
    }
    manager.run("after", &sleeper()).await;
    manager.all_healthy(20).await;
    for engine in &engines {
        assert!(asked(engine) <= 11, "once each, and the new container: {:?}", engine.recent_calls());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_blink_what_is_what_it_was_is_not_inspected_again() {
    let engines = engines(10).await;
    let manager = Manager::of(&engines).await;
    // That they are not running they say in a word that time does not change.
    for i in 0..50 {
        manager.post(&format!("/containers/create?name=c{i}"), &sleeper()).await.fine();
    }
    engines.iter().for_each(SimEngine::forget_calls);
    for engine in &engines {
        engine.fault(Fault::everywhere(Kind::EndEvents)).await;
    }
    let lists = || engines.iter().filter(|e| e.calls("GET /containers/json") > 0).count();
    until("all lists", async || (lists() == 10).then_some(())).await;
    manager.all_healthy(10).await;
    // Whoever asks for memory waits for all details.
    let mut body = sleeper();
    body["HostConfig"]["Memory"] = (4 << 20).into();
    manager.run("after", &body).await;
    let details: u64 = engines.iter().map(|e| e.calls("GET /containers/{id}/json")).sum();
    assert!(details <= 2, "{details} inspects");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_made_while_its_engine_is_read_again_can_be_started_at_once() {
    let engines = engines(1).await;
    let manager = Manager::of(&engines).await;
    // Longer than anybody waits for a mere refresh.
    engines[0].fault(Fault::on("GET /containers/json", Kind::Latency { ms: 5000 })).await;
    engines[0].forget_calls();
    engines[0].fault(Fault::everywhere(Kind::EndEvents)).await;
    let read = || engines[0].calls("GET /containers/json");
    until("the list", async || (read() > 0).then_some(())).await;
    manager.run("web", &sleeper()).await;
}
