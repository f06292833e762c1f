//! Where creates end up: a port is never given twice, and what one engine cannot take goes to the next.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::rig::{Manager, engines, sleeper};
use crate::sim::{Fault, Kind, SimEngine};

const ROUNDS: usize = 100;

fn names(engine: &SimEngine) -> Vec<String> {
    engine.containers().into_iter().map(|(name, _)| name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_creates_with_one_port_never_meet_on_a_node() {
    let engines = engines(5).await;
    let manager = Manager::of(&engines).await;
    let mut body = sleeper();
    body["HostConfig"] = json!({"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}});
    for round in 0..ROUNDS {
        let runs: Vec<String> = (0..5).map(|n| format!("r{round}-{n}")).collect();
        let ids = join_all(runs.iter().map(|name| manager.run(name, &body))).await;
        for engine in &engines {
            assert_eq!(engine.containers().len(), 1, "round {round}, {}: {:?}", engine.name(), names(engine));
        }
        join_all(ids.iter().map(async |id| {
            manager.call("DELETE", &format!("/containers/{id}?force=1"), &Value::Null).await.fine();
        }))
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_and_a_taken_port_send_the_create_to_the_next_node() {
    let engines = engines(3).await;
    let manager = Manager::of(&engines).await;
    let refuse = |message: &str| {
        Fault::on("POST /containers/create", Kind::Error { status: 500, message: message.to_string() })
    };
    let create =
        async |name: &str| manager.post(&format!("/containers/create?name={name}"), &sleeper()).await;
    engines[0].fault(refuse("mkdir /var/lib/docker/overlay2/x: no space left on device")).await;
    engines[1].fault(refuse("driver failed: Bind for 0.0.0.0:80 failed: port is already allocated")).await;
    let mut made = HashSet::new();
    for name in ["c0", "c1", "c2", "c3"] {
        create(name).await.fine();
        made.insert(name.to_string());
    }
    assert_eq!(names(&engines[2]).into_iter().collect::<HashSet<_>>(), made);
    engines[2].fault(refuse("write /x: no space left on device")).await;
    let answer = create("none").await;
    let text = answer.text();
    assert_eq!(answer.status, 500);
    assert!(
        text.contains("no space left") || text.contains("already allocated"),
        "an engine's words: {text}"
    );
    // Another failure is for the client to know, unless `swarm.createretry` says otherwise.
    engines[0].clear_faults().await;
    engines[0].fault(refuse("something else")).await;
    let answer = create("other").await;
    assert_eq!(answer.status, 500);
    assert!(answer.text().contains("something else"), "{}", answer.text());
}
