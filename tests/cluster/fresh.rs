//! What events do not tell of a container that was made this very moment is known to whoever asks: its volumes, its
//! networks, the labels of its image. Also when the engine fails to answer at first.

use serde_json::{Value, json};

use crate::rig::{Manager, engines, sleeper, until};
use crate::sim::{Fault, Kind, SimEngine};

/// A container with a named volume, on a network of its own.
fn database() -> Value {
    let mut body = sleeper();
    body["HostConfig"] = json!({ "Binds": ["data:/d"], "NetworkMode": "back" });
    body
}

async fn cluster() -> (Vec<SimEngine>, Manager) {
    let engines = engines(2).await;
    let manager = Manager::of(&engines).await;
    manager.post("/networks/create", &json!({ "Name": "back" })).await.fine();
    (engines, manager)
}

async fn listed(manager: &Manager, what: &str, filters: Value) -> String {
    let filters: String = form_urlencoded::byte_serialize(filters.to_string().as_bytes()).collect();
    manager.get(&format!("/{what}?filters={filters}")).await.fine().text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_know_what_it_uses() {
    let (_engines, manager) = cluster().await;
    manager.run("db", &database()).await;
    for (what, filters, there) in [
        ("volumes", json!({ "dangling": ["true"] }), false),
        ("volumes", json!({ "dangling": ["false"] }), true),
        ("networks", json!({ "dangling": ["true"] }), false),
    ] {
        // Each time about one that is as new.
        manager.post("/containers/db/restart?t=0", &Value::Null).await.fine();
        let text = listed(&manager, what, filters.clone()).await;
        let name = if what == "volumes" { "data" } else { "back" };
        assert_eq!(text.contains(name), there, "{what} {filters}: {text}");
    }
    manager.run("db2", &database()).await;
    let text = listed(&manager, "containers/json", json!({ "volume": ["data"], "name": ["db2"] })).await;
    assert!(text.contains("/db2"), "{text}");
    let pruned = manager.post("/networks/prune", &Value::Null).await.fine().text();
    assert!(!pruned.contains("back"), "{pruned}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_leaves_it_with_its_volume() {
    let (engines, manager) = cluster().await;
    manager.run("db", &database()).await;
    let on = engines.iter().find(|e| !e.containers().is_empty()).unwrap();
    let told = manager.post(&format!("/swarmd/v1/nodes/{}/drain", on.name()), &json!({})).await.fine().text();
    assert!(told.contains("data"), "{told}");
    assert_eq!(on.containers().len(), 1, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_failed_is_asked_again() {
    let (engines, manager) = cluster().await;
    for engine in &engines {
        let fails = Kind::Error { status: 500, message: "busy".into() };
        engine.fault(Fault::on("GET /containers/json", fails).times(2)).await;
    }
    manager.run("db", &database()).await;
    until("the volume in the list of all", async || {
        let all: Value = manager.get("/containers/json?all=1").await.fine().json();
        all[0]["Mounts"][0]["Name"].as_str().map(str::to_string)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_ends_at_once_was_started_all_the_same() {
    let engines = engines(2).await;
    let manager = Manager::of(&engines).await;
    for n in 0..40 {
        manager.run(&format!("short-{n}"), &json!({ "Image": "busybox" })).await;
    }
    // The events of its start and its end are often there before it is known that somebody waits for them.
    let asked: u64 = engines.iter().map(|e| e.calls("GET /containers/{id}/json")).sum();
    assert_eq!(asked, 0, "engines were asked what events had told");
}
