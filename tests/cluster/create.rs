//! Many creates at once: nothing is given away twice, whatever else happens.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::rig::{Connection, Manager, engines, sleeper, until};
use crate::sim::{Fault, Kind, SimEngine};

const GIB: i64 = 1 << 30;

/// A create of the crowd: its name and its body.
fn crowd() -> Vec<(String, Value)> {
    let with = |host: Value| {
        let mut body = sleeper();
        body["HostConfig"] = host;
        body
    };
    let mut calls = Vec::new();
    for i in 0..40 {
        calls.push((format!("plain-{i}"), sleeper()));
        // Asked for three times each: one may have it.
        calls.push((format!("wanted-{}", i / 3), sleeper()));
        let port = json!({"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}});
        calls.push((format!("port-{i}"), with(port)));
        calls.push((format!("memory-{i}"), with(json!({"Memory": GIB}))));
        calls.push((format!("small-{i}"), with(json!({"Memory": 1 << 20}))));
    }
    calls
}

fn memory(engine: &SimEngine) -> i64 {
    let memory = |name: &String| engine.inspect(name).and_then(|c| c["HostConfig"]["Memory"].as_i64());
    engine.containers().iter().filter_map(|(name, _)| memory(name)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_parallel_creates_book_nothing_twice() {
    let engines = engines(5).await;
    let manager = Manager::of(&engines).await;
    let calls = crowd();
    assert_eq!(calls.len(), 200);
    let answers = join_all(calls.iter().map(async |(name, body)| {
        (name.as_str(), manager.post(&format!("/containers/create?name={name}"), body).await)
    }))
    .await;
    let created =
        |prefix: &str| answers.iter().filter(|(n, a)| n.starts_with(prefix) && a.status == 201).count();
    assert_eq!(created("plain-"), 40);
    assert_eq!(created("small-"), 40);
    assert_eq!(created("wanted-"), 14, "each name once");
    assert_eq!(created("port-"), 5, "a port once on each engine");
    assert_eq!(created("memory-"), 20, "4 GiB and 5 % on each engine");
    for (name, answer) in answers.iter().filter(|(_, a)| a.status != 201) {
        let expected = if name.starts_with("wanted-") { 409 } else { 500 };
        assert_eq!(answer.status, expected, "{name}: {}", answer.text());
    }

    let names: Vec<String> = engines.iter().flat_map(|e| e.containers()).map(|(name, _)| name).collect();
    assert_eq!(names.len(), 119);
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "no name twice");
    for engine in &engines {
        let ports = engine.containers().iter().filter(|(name, _)| name.starts_with("port-")).count();
        assert_eq!(ports, 1, "{}", engine.name());
        assert!(memory(engine) <= 4 * GIB * 105 / 100, "{}: {}", engine.name(), memory(engine));
    }
    assert_eq!(manager.names().await.len(), 119, "all are listed right after");
}

/// The engine gets the call all the same: its name is taken until the engine has said what came of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_during_its_create_frees_nothing_too_early() {
    let engines = engines(3).await;
    let manager = Manager::of(&engines).await;
    for engine in &engines {
        engine.fault(Fault::on("POST /containers/create", Kind::Latency { ms: 300 })).await;
    }
    for i in 0..12 {
        let (path, body) = (format!("/containers/create?name=left-{i}"), sleeper().to_string());
        let mut hasty = Connection::open(manager.addr).await;
        hasty.request("POST", &path, &format!("Content-Length: {}\r\n", body.len())).await;
        hasty.send(&body).await;
        let made = |e: &SimEngine| e.calls("POST /containers/create");
        until("the call on an engine", async || (engines.iter().map(made).sum::<u64>() > i).then_some(()))
            .await;
        drop(hasty);
        let again = manager.post(&path, &sleeper()).await;
        assert_eq!(again.status, 409, "left-{i}: {}", again.text());
    }
    until("the engines", async || engines.iter().all(|e| e.open("create") == 0).then_some(())).await;
    let mut count: HashMap<String, usize> = HashMap::new();
    for (name, _) in engines.iter().flat_map(|e| e.containers()) {
        *count.entry(name).or_default() += 1;
    }
    assert_eq!(count.len(), 12);
    assert!(count.values().all(|n| *n == 1), "{count:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_goes_elsewhere_when_its_engine_refuses_the_connection() {
    let engines = engines(2).await;
    // It stays Healthy for the manager, however often it fails.
    let manager = Manager::starting(&engines, "engine-failure-retry = 100000");
    manager.all_healthy(2).await;
    manager.run("busy", &json!({"Image": "busybox", "Env": ["constraint:node==node-1"]})).await;
    engines[0].stop();
    // Until then connections that are closing are still taken for good: what breaks on one may have happened.
    let refused = async || manager.row(&engines[0]).await.error.contains("refused");
    until("refusals", async || refused().await.then_some(())).await;
    let created = manager.post("/containers/create?name=moved", &sleeper()).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(engines[0].containers().len(), 0);
    assert_eq!(engines[1].containers().len(), 2);
    assert_eq!(manager.row(&engines[0]).await.status, "Healthy");
}

/// Broken off after it was sent: it may have been done, so it is not done again elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_may_have_happened_is_not_repeated() {
    let engines = engines(2).await;
    let manager = Manager::of(&engines).await;
    for engine in &engines {
        engine.fault(Fault::on("POST /containers/create", Kind::Drop)).await;
    }
    let answer = manager.post("/containers/create?name=once", &sleeper()).await;
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert_eq!(engines.iter().map(|e| e.calls("POST /containers/create")).sum::<u64>(), 1);
}
