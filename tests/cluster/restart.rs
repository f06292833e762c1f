//! A manager that is killed and starts anew: what exists on engines is seen once.

use std::collections::HashSet;

use futures_util::future::join_all;

use crate::rig::{Connection, Manager, engine, sleeper, until};
use crate::sim::{Fault, Kind, Profile, SimEngine};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_manager_sees_every_container_once() {
    let mut engines = Vec::new();
    for name in ["pocket", "pi1", "pi2"] {
        // Also containers that no manager made.
        engines.push(engine(Profile { containers: 3, foreign: name == "pi1", ..Profile::named(name) }).await);
    }
    let mut manager = Manager::of(&engines).await;
    for i in 0..6 {
        manager.run(&format!("c{i}"), &sleeper()).await;
    }
    let before = manager.names().await;
    assert_eq!(before.len(), 15);
    manager.restart();
    manager.all_healthy(3).await;
    assert_eq!(manager.names().await, before);
    // What was made before the restart can be used, and its names are taken.
    manager.get("/containers/c0/json").await.fine();
    assert_eq!(manager.post("/containers/create?name=c1", &sleeper()).await.status, 409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_amid_creates_it_loses_and_doubles_nothing() {
    let mut engines = Vec::new();
    for i in 0..4 {
        let engine = engine(Profile::named(&format!("node-{i}"))).await;
        engine.fault(Fault::on("POST /containers/create", Kind::Latency { ms: 100 })).await;
        engines.push(engine);
    }
    let mut manager = Manager::of(&engines).await;
    let made = |engines: &[SimEngine]| engines.iter().map(|e| e.containers().len()).sum::<usize>();
    let addr = manager.addr;
    let clients = join_all((0..50).map(async |i| {
        let body = sleeper().to_string();
        let mut connection = Connection::open(addr).await;
        let length = format!("Content-Length: {}\r\n", body.len());
        connection.request("POST", &format!("/containers/create?name=c{i}"), &length).await;
        connection.send(&body).await;
        let answer = connection.answer(false).await.ok().flatten();
        answer.filter(|a| a.status == 201).map(|a| a.json()["Id"].as_str().unwrap_or("").to_string())
    }));
    let killing = async {
        until("some containers", async || (made(&engines) >= 5).then_some(())).await;
        manager.restart();
    };
    let (acknowledged, ()) = tokio::join!(clients, killing);
    manager.all_healthy(4).await;
    // Calls that the old manager had sent may still be under way in the engines.
    until("all calls to end", async || engines.iter().all(|e| e.open("create") == 0).then_some(())).await;
    let names =
        until("the list", async || Some(manager.names().await).filter(|names| names.len() == made(&engines)))
            .await;
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
    for id in acknowledged.into_iter().flatten() {
        manager.get(&format!("/containers/{id}/json")).await.fine();
    }
}
