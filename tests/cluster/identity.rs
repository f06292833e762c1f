//! Who an engine is: another one at the same address, one ID at two addresses, a clock that is wrong.

use crate::rig::{Manager, engine, engines, sleeper, until};
use crate::sim::{Fault, Kind, Profile};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_engine_at_an_address_starts_afresh() {
    let engines = engines(2).await;
    let manager = Manager::of(&engines).await;
    let before = manager.row(&engines[0]).await.id;
    engines[0].fault(Fault::everywhere(Kind::ChangeId { id: "another".into() })).await;
    engines[0].fault(Fault::everywhere(Kind::EndEvents)).await;
    until("the new ID", async || {
        let row = manager.row(&engines[0]).await;
        (row.id == "another" && row.status == "Healthy").then_some(())
    })
    .await;
    assert_ne!(before, "another");
    assert!(manager.log().contains("shows up with another ID:another"));
    assert_eq!(manager.row(&engines[1]).await.status, "Healthy");
    for i in 0..2 {
        manager.run(&format!("c{i}"), &sleeper()).await;
    }
    assert!(engines.iter().all(|e| e.containers().len() == 1));
}

/// A cloned disk: both are used, and the operator is told which two, and the cure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_engines_with_one_id_are_both_used_with_a_warning() {
    let twin = |name: &str| Profile { id: "CLONED".into(), containers: 1, ..Profile::named(name) };
    let engines = vec![engine(twin("pi1")).await, engine(twin("pi2")).await];
    let manager = Manager::of(&engines).await;
    assert_eq!(manager.names().await, ["pi1/sim-pi1-0", "pi2/sim-pi2-0"]);
    for i in 0..4 {
        manager.run(&format!("c{i}"), &sleeper()).await;
    }
    assert!(engines.iter().all(|e| e.containers().len() == 3), "spread over both");
    let warnings = manager.get("/info").await.fine().json()["Warnings"].to_string();
    for text in [&engines[0].addr.to_string(), &engines[1].addr.to_string(), "one ID", "engine-id"] {
        assert!(warnings.contains(text), "{text} in {warnings}");
    }
}

/// DHCP: the same engine, seen at a new address while the old one is dead. One node, its containers once; and when
/// both answer after all, it was a cloned disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_moved_is_one_node() {
    let same = || Profile { id: "SAME".into(), containers: 2, ..Profile::named("pi1") };
    let addresses = vec![engine(same()).await, engine(same()).await];
    let manager = Manager::of(&addresses).await;
    let pause = "/swarmd/v1/nodes/SAME";
    assert_eq!(manager.get(pause).await.status, 409, "two of one name and ID");
    addresses[0].fault(Fault::everywhere(Kind::Refuse)).await;
    let rows = until("one node", async || {
        let rows = manager.rows().await;
        (rows.len() == 1).then_some(rows)
    })
    .await;
    assert_eq!((rows[0].addr.clone(), rows[0].status.as_str()), (addresses[1].addr.to_string(), "Healthy"));
    assert_eq!(manager.names().await, ["pi1/sim-pi1-0", "pi1/sim-pi1-1"]);
    assert_eq!(manager.get(pause).await.status, 200);
    manager.run("web", &sleeper()).await;
    assert_eq!(addresses[1].containers().len(), 3);
    // Both dead is one dead node, not two.
    addresses[1].fault(Fault::everywhere(Kind::Refuse)).await;
    let row = manager.in_state(&addresses[1], "Unhealthy").await;
    assert_eq!((manager.rows().await.len(), row.id.as_str()), (1, "SAME"));
    for engine in &addresses {
        engine.fault(Fault::everywhere(Kind::Listen)).await;
    }
    manager.all_healthy(2).await;
    let warnings = manager.get("/info").await.fine().json()["Warnings"].to_string();
    assert!(warnings.contains("one ID"), "{warnings}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_is_told_of_and_ages_are_right_all_the_same() {
    for seconds in [-7200, 7200] {
        let engines = engines(1).await;
        engines[0].fault(Fault::everywhere(Kind::ClockSkew { seconds })).await;
        let manager = Manager::of(&engines).await;
        manager.run("web", &sleeper()).await;
        let warnings = manager.get("/info").await.fine().json()["Warnings"].to_string();
        assert!(warnings.contains("the clock differs"), "{warnings}");
        // A manager on a busy machine may show the start a moment later.
        until(&format!("its age with a clock {seconds} s off"), async || {
            let list = manager.get("/containers/json").await.fine().json();
            let status = list[0]["Status"].as_str()?;
            (status.starts_with("Up ") && status.contains("second")).then_some(())
        })
        .await;
        // Events of an engine whose clock is behind arrive, too.
        let mut events = manager.stream("/events").await;
        engines[0].exit("web", 0);
        let line = events.next().await.expect("a piece").expect("an event");
        assert!(String::from_utf8_lossy(&line).contains("\"die\""));
    }
}
