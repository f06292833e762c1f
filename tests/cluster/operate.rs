//! What an operator says about nodes, and questions to the scheduler.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::rig::{Manager, engine, engines, sleeper};
use crate::sim::{Profile, SimEngine};

/// Where a container really is.
fn holder(engines: &[SimEngine], name: &str) -> Option<String> {
    let holds = |e: &&SimEngine| e.containers().iter().any(|(n, _)| n == name);
    engines.iter().find(holds).map(|e| e.name().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_kill() {
    let engines = engines(12).await;
    let mut manager = Manager::of(&engines).await;
    let said = join_all(engines.iter().map(async |e| {
        let path = format!("/swarmd/v1/nodes/{}", e.name());
        manager.post(&format!("{path}/pause"), &json!({ "reason": "dust" })).await.fine();
        manager.post(&format!("{path}/labels"), &json!({ "set": { "tier": e.name() } })).await.fine();
    }));
    said.await;
    manager.restart();
    manager.all_healthy(engines.len()).await;
    let nodes = manager.get("/swarmd/v1/nodes").await.fine().json();
    for node in nodes.as_array().unwrap() {
        assert_eq!((&node["availability"], &node["reason"]), (&json!("paused"), &json!("dust")));
        assert_eq!(node["operator_labels"]["tier"], node["name"]);
    }
    let refused = manager.post("/containers/create", &sleeper()).await;
    assert!(refused.text().contains("No node takes new containers"), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_create_lands_on_a_node_after_its_pause_was_answered() {
    let engines = engines(3).await;
    let manager = Manager::of(&engines).await;
    let create = async |name: String| {
        manager.post(&format!("/containers/create?name={name}"), &sleeper()).await.fine();
    };
    let before = join_all((0..30).map(|i| create(format!("before-{i}"))));
    let pause = async {
        let path = format!("/swarmd/v1/nodes/{}/pause", engines[0].name());
        manager.post(&path, &Value::Null).await.fine();
        join_all((0..30).map(|i| create(format!("after-{i}")))).await;
    };
    tokio::join!(before, pause);
    let late = engines[0].containers().into_iter().filter(|(name, _)| name.starts_with("after-")).count();
    assert_eq!(late, 0);
}

/// Creates of all kinds, with names, that depend on one another.
fn crowd() -> Vec<(String, Value)> {
    let with = |host: Value, env: Value| {
        let mut body = sleeper();
        (body["HostConfig"], body["Env"]) = (host, env);
        body
    };
    let mut calls = Vec::new();
    for i in 0..12 {
        calls.push((format!("plain-{i}"), sleeper()));
        calls.push((format!("big-{i}"), with(json!({ "Memory": 1_i64 << 30 }), json!([]))));
        let ports = json!({ "PortBindings": { "80/tcp": [{ "HostPort": "80" }] } });
        calls.push((format!("port-{i}"), with(ports, json!([]))));
        let near = format!("affinity:container==plain-{i}");
        calls.push((format!("near-{i}"), with(json!({}), json!([near]))));
        let apart = format!("affinity:container!=big-{i}");
        calls.push((format!("apart-{i}"), with(json!({}), json!([apart, "constraint:tier==~gold"]))));
        let shared = json!({ "VolumesFrom": [format!("apart-{i}")] });
        calls.push((format!("shared-{i}"), with(shared, json!([]))));
    }
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planned_creates_go_where_they_were_planned() {
    let engines = engines(8).await;
    let manager = Manager::of(&engines).await;
    for engine in &engines[..3] {
        let path = format!("/swarmd/v1/nodes/{}/labels", engine.name());
        manager.post(&path, &json!({ "set": { "tier": "gold" } })).await.fine();
    }
    let calls = crowd();
    let creates: Vec<Value> =
        calls.iter().map(|(name, body)| json!({ "name": name, "body": body })).collect();
    let planned = manager.post("/swarmd/v1/plan", &json!({ "creates": creates })).await.fine().json();
    assert!(engines.iter().all(|e| e.containers().is_empty()), "a plan creates nothing");
    let steps = planned["steps"].as_array().unwrap();
    assert_eq!(steps.len(), calls.len());
    for ((name, body), step) in calls.iter().zip(steps) {
        manager.post(&format!("/containers/create?name={name}"), body).await;
        assert_eq!(json!(holder(&engines, name)), step["node"], "{name}: {step:#}");
        let decision = &step["decision"];
        let told = [&decision["ranking"], &decision["turned_away"]].map(|l| l.as_array().unwrap().len());
        assert_eq!(told.iter().sum::<usize>(), engines.len(), "each node is told of once: {step:#}");
    }
    let lost = steps.iter().filter(|step| step["node"].is_null()).count();
    assert_eq!(lost, 4, "a port is there once on each of 8 nodes");
    let told = manager.get("/swarmd/v1/containers/near-5/explain").await.fine().json();
    assert_eq!(told["then"]["decision"]["node"], json!(holder(&engines, "near-5")));
    assert_eq!(told["expressions"]["affinities"], json!(["container==plain-5"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_is_gone_from_every_list() {
    let engines = engines(3).await;
    let mut manager = Manager::of(&engines).await;
    for i in 0..6 {
        manager.run(&format!("c{i}"), &sleeper()).await;
    }
    let path = format!("/swarmd/v1/nodes/{}", engines[0].name());
    assert_eq!(manager.call("DELETE", &path, &Value::Null).await.status, 409, "it is healthy");
    let answer = manager.call("DELETE", &format!("{path}?force=1"), &Value::Null).await.fine().json();
    assert!(answer["note"].as_str().unwrap().contains("still names it"), "{answer}");
    assert_eq!(manager.names().await.len(), 4);
    assert_eq!(manager.rows().await.len(), 2);
    assert_eq!(manager.get(&path).await.status, 404);
    manager.restart();
    manager.all_healthy(3).await;
    assert_eq!(manager.names().await.len(), 6, "its containers were not touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_that_share_a_name_are_told_apart_by_address() {
    let twin = async |id: &str| engine(Profile { id: id.into(), ..Profile::named("pi") }).await;
    let twins = [twin("AAAA").await, twin("BBBB").await];
    let manager = Manager::of(&twins).await;
    let answer = manager.post("/swarmd/v1/nodes/pi/pause", &Value::Null).await;
    assert_eq!(answer.status, 409);
    for twin in &twins {
        assert!(answer.text().contains(&twin.addr.to_string()), "{}", answer.text());
    }
    let path = format!("/swarmd/v1/nodes/{}/pause", twins[1].addr);
    manager.post(&path, &Value::Null).await.fine();
    manager.run("one", &sleeper()).await;
    manager.run("two", &sleeper()).await;
    assert_eq!((twins[0].containers().len(), twins[1].containers().len()), (2, 0));
}
