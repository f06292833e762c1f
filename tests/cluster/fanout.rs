//! Calls to all engines when one of them fails or is down.

use serde_json::{Value, json};

use crate::rig::{Manager, engines};
use crate::sim::{Fault, Kind};

fn broken() -> Kind {
    Kind::Error { status: 500, message: "no space left on device".into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_that_fails_on_one_engine_says_where_and_is_done_elsewhere() {
    let engines = engines(3).await;
    let manager = Manager::of(&engines).await;
    engines[1].fault(Fault::on("POST /images/create", broken())).await;
    let answer = manager.post("/images/create?fromImage=redis&tag=7", &Value::Null).await.fine();
    let last = answer.text().lines().rev().find(|l| !l.trim().is_empty()).unwrap_or_default().to_string();
    assert!(
        last.contains("errorDetail") && last.contains("node-1") && last.contains("no space left"),
        "{last}"
    );
    for (engine, there) in engines.iter().zip([true, false, true]) {
        let images = format!("{:?}", engine.engine().state().images);
        assert_eq!(images.contains("redis:7"), there, "{}", engine.name());
    }
    engines[1].clear_faults().await;
    let answer = manager.post("/images/create?fromImage=redis&tag=7", &Value::Null).await.fine();
    assert!(!answer.text().contains("errorDetail"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_fails_on_one_engine_says_where_it_was_made() {
    let engines = engines(3).await;
    let manager = Manager::of(&engines).await;
    engines[2].fault(Fault::on("POST /volumes/create", broken())).await;
    let answer = manager.post("/volumes/create", &json!({"Name": "data"})).await;
    assert_eq!(answer.status, 500);
    let text = answer.text();
    for part in ["node-2: no space left", "node-0, node-1"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// An engine known to be down is skipped, not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_down_is_skipped() {
    let engines = engines(3).await;
    let manager = Manager::of(&engines).await;
    engines[0].stop();
    manager.in_state(&engines[0], "Unhealthy").await;
    manager.post("/volumes/create", &json!({"Name": "data"})).await.fine();
    manager.post("/images/create?fromImage=redis&tag=7", &Value::Null).await.fine();
    for engine in &engines[1..] {
        assert!(engine.engine().state().volumes.contains_key("data"), "{}", engine.name());
    }
}
