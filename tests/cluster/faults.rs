//! Engines that go wrong: each fault has its state and its reason, holds up nobody else, and passes.

use serde_json::Value;

use crate::rig::{Manager, engine, sleeper, until, within};
use crate::sim::{Fault, Kind, Profile, SimEngine};

/// An engine of this name with one container.
async fn with_one(name: &str) -> SimEngine {
    engine(Profile { containers: 1, ..Profile::named(name) }).await
}

/// Faults that make an engine useless, and words of the reason that `docker info` gives.
fn fatal() -> Vec<(&'static str, Kind, &'static str)> {
    let error = Kind::Error { status: 500, message: "the disk is full".into() };
    vec![
        ("hang", Kind::Hang, "did not answer within 3 s"),
        ("refuse", Kind::Refuse, "Connection refused"),
        ("drop", Kind::Drop, "broke off"),
        ("reset", Kind::Reset { after: 1 }, "broke off"),
        ("error", error, "the disk is full"),
        ("not-docker", Kind::NotDocker, "is not a Docker Engine: it answered 404"),
    ]
}

async fn lists(manager: &Manager) {
    for path in ["/containers/json?all=1", "/images/json", "/networks", "/volumes", "/info", "/version"] {
        manager.get(path).await.fine();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_makes_its_engine_unhealthy_and_nobody_else_waits() {
    let good = with_one("good").await;
    let mut engines = vec![good];
    for (name, _, _) in fatal() {
        engines.push(with_one(name).await);
    }
    let manager = Manager::of(&engines).await;
    let before = manager.names().await;
    assert_eq!(before.len(), engines.len());

    for (engine, (_, kind, _)) in engines[1..].iter().zip(fatal()) {
        engine.fault(Fault::everywhere(kind)).await;
    }
    let stuck = manager.get("/containers/sim-hang-0/json");
    let others = async {
        lists(&manager).await;
        assert_eq!(manager.names().await, before, "containers of lost nodes stay in the list");
        manager.get("/containers/sim-good-0/json").await.fine();
        for (engine, (name, _, reason)) in engines[1..].iter().zip(fatal()) {
            let row = manager.in_state(engine, "Unhealthy").await;
            assert!(row.error.contains(reason), "{name}: {}", row.error);
        }
    };
    let (stuck, ()) = tokio::join!(within("a call to an engine that hangs", stuck), others);
    assert_eq!(stuck.status, 500, "{}", stuck.text());
    lists(&manager).await;

    engines.iter().for_each(SimEngine::forget_calls);
    for i in 0..3 {
        manager.run(&format!("new-{i}"), &sleeper()).await;
    }
    assert_eq!(engines[0].containers().len(), 4, "new containers go to the engine that is well");
    let answer = manager.post("/containers/sim-error-0/stop", &Value::Null).await;
    assert!(answer.text().contains("unhealthy node error"), "{}", answer.text());
    for lost in &engines[1..] {
        assert_eq!(lost.calls("POST"), 0, "{} is left alone", lost.name());
        lost.clear_faults().await;
        lost.restart_on_same_port().await.expect("its port");
    }
    manager.all_healthy(engines.len()).await;
    let after: Vec<String> = before.into_iter().chain((0..3).map(|i| format!("good/new-{i}"))).collect();
    let mut after = after;
    after.sort();
    assert_eq!(manager.names().await, after, "every container is there once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_wrong_from_the_start_stays_out_with_a_reason_until_it_is_right() {
    let error = || Kind::Error { status: 500, message: "no such storage driver".into() };
    let cases = [
        ("garbage", Fault::everywhere(Kind::Garbage), "make sure that a Docker Engine listens there"),
        ("not-docker", Fault::everywhere(Kind::NotDocker), "is not a Docker Engine"),
        ("hang", Fault::everywhere(Kind::Hang), "did not answer within"),
        ("drop", Fault::everywhere(Kind::Drop), "broke off"),
        ("no-info", Fault::on("/info", error()), "no such storage driver"),
        ("no-list", Fault::on("GET /containers/json", error()), "no such storage driver"),
        ("no-events", Fault::on("/events", error()), "no such storage driver"),
        ("half-an-info", Fault::on("/info", Kind::Reset { after: 9 }), "broke off"),
    ];
    let mut engines = vec![with_one("good").await];
    for (name, fault, _) in &cases {
        let engine = with_one(name).await;
        engine.fault(fault.clone()).await;
        engines.push(engine);
    }
    let manager = Manager::starting(&engines, "");
    manager.in_state(&engines[0], "Healthy").await;
    for (engine, (name, _, reason)) in engines[1..].iter().zip(&cases) {
        let row = until(name, async || Some(manager.row(engine).await).filter(|r| !r.error.is_empty())).await;
        assert_eq!(row.status, "Pending", "{name}");
        assert!(row.error.contains(reason), "{name}: {}", row.error);
    }
    assert_eq!(manager.names().await, ["good/sim-good-0"]);
    lists(&manager).await;
    for engine in &engines {
        engine.clear_faults().await;
    }
    manager.all_healthy(engines.len()).await;
    assert_eq!(manager.names().await.len(), engines.len());
}

/// Faults with which an engine is still of use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lesser_faults_leave_an_engine_in_use() {
    let cases = [
        ("slow", Fault::everywhere(Kind::Trickle { bytes: 256, ms: 1 })),
        ("late", Fault::everywhere(Kind::Latency { ms: 50 })),
        ("end-events", Fault::everywhere(Kind::EndEvents)),
        ("mute-events", Fault::everywhere(Kind::MuteEvents)),
        ("no-inspect", Fault::on("GET /containers/{id}/json", Kind::Hang)),
        ("no-images", Fault::on("GET /images/json", Kind::Drop)),
    ];
    let mut engines = Vec::new();
    for (name, _) in &cases {
        engines.push(with_one(name).await);
    }
    let intervals = "engine-refresh-min-interval = \"1s\"\nengine-refresh-max-interval = \"1s\"";
    let manager = Manager::starting(&engines, intervals);
    manager.all_healthy(engines.len()).await;
    for (engine, (_, fault)) in engines.iter().zip(&cases) {
        engine.fault(fault.clone()).await;
    }
    for (engine, (name, _)) in engines.iter().zip(&cases).filter(|(_, (name, _))| *name != "no-inspect") {
        // It ends by itself: the manager has to find out, with or without an event.
        engine.exit(&format!("sim-{name}-0"), 3);
        let path = format!("/containers/json?all=1&filters=%7B%22name%22:[%22sim-{name}-0%22]%7D");
        until(name, async || {
            let list = manager.get(&path).await.fine().json();
            (list[0]["State"] == "exited").then_some(())
        })
        .await;
        assert_eq!(manager.row(engine).await.status, "Healthy", "{name}");
    }
    lists(&manager).await;
}
