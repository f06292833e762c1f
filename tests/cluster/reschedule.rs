//! Containers that move when their node fails: engines that go and come back, and a manager that is killed in the
//! middle of everything.

use serde_json::{Value, json};

use crate::rig::{Connection, Manager, engines, until, within};
use crate::sim::{Fault, Kind, SimEngine};

/// A sleeper that moves, with further host settings.
fn mover(host: &Value) -> Value {
    json!({
        "Image": "busybox", "Cmd": ["sleep", "infinity"], "HostConfig": host,
        "Env": ["reschedule:on-node-failure", "constraint:role!=spare"]
    })
}

/// A manager that is quick to move what can be moved.
async fn quick(engines: &[SimEngine]) -> Manager {
    let manager = Manager::starting(engines, "reschedule-delay = \"300ms\"\nengine-failure-retry = 1");
    manager.all_healthy(engines.len()).await;
    manager
}

/// Runs a mover on the first engine.
async fn run_there(manager: &Manager, engines: &[SimEngine], name: &str, host: &Value) -> String {
    let pause = async |verb: &str| {
        for engine in &engines[1..] {
            manager.post(&format!("/swarmd/v1/nodes/{}/{verb}", engine.name()), &Value::Null).await.fine();
        }
    };
    pause("pause").await;
    let id = manager.run(name, &mover(host)).await;
    pause("resume").await;
    id
}

/// The engines that have a container of this name, with its state.
fn holders(engines: &[SimEngine], name: &str) -> Vec<(usize, &'static str)> {
    let state = |e: &SimEngine| e.containers().into_iter().find(|(n, _)| n == name).map(|(_, s)| s);
    engines.iter().enumerate().filter_map(|(i, e)| Some((i, state(e)?))).collect()
}

async fn until_held(engines: &[SimEngine], name: &str, what: &str, test: impl Fn(&[(usize, &str)]) -> bool) {
    until(what, async || {
        let held = holders(engines, name);
        test(&held).then_some(())
    })
    .await;
}

/// The status of a container in the one entry that lists have of it.
async fn status(manager: &Manager, name: &str) -> String {
    let list = manager.get("/containers/json?all=1").await.fine().json();
    let named = |c: &&Value| c["Names"][0].as_str().expect("a name").ends_with(&format!("/{name}"));
    let entries: Vec<Value> = list.as_array().expect("a list").iter().filter(named).cloned().collect();
    assert!(entries.len() <= 1, "{name} is listed twice: {entries:?}");
    entries.first().map_or("none", |e| e["Status"].as_str().expect("a status")).to_string()
}

async fn until_status(manager: &Manager, name: &str, begins: &str) {
    let what = format!("{name}: {begins}");
    until(&what, async || status(manager, name).await.contains(begins).then_some(())).await;
}

/// Waits until so many records like this are on disk. Changes get there within about a second.
async fn in_book(manager: &Manager, count: usize, like: impl Fn(&Value) -> bool) {
    listed(manager, "records", count, like).await;
}

/// Waits until the part of the book has so many entries like this on disk.
async fn listed(manager: &Manager, part: &str, count: usize, like: impl Fn(&Value) -> bool) {
    let path = manager.state().join("rescheduler.json");
    until(part, async || {
        let book: Value = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
        (book[part].as_object()?.values().filter(|entry| like(entry)).count() == count).then_some(())
    })
    .await;
}

/// No engine was ever asked to remove a volume, neither by itself nor with a container.
fn no_volume_was_removed(engines: &[SimEngine]) {
    for call in engines.iter().flat_map(SimEngine::recent_calls).filter(|c| c.route.starts_with("DELETE")) {
        let with_volumes = ["v=1", "v=true", "v=True", "v=t"].iter().any(|v| call.path.contains(v));
        assert!(!call.route.contains("volumes") && !with_volumes, "{call:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_moves_one_waits_and_the_node_comes_back() {
    let engines = engines(3).await;
    let manager = quick(&engines).await;
    let old = run_there(&manager, &engines, "web", &json!({"Binds": ["/anonymous"]})).await;
    run_there(&manager, &engines, "db", &json!({"Binds": ["data:/d"]})).await;
    let plain = json!({"Image": "busybox", "Cmd": ["sleep", "infinity"], "Env": ["constraint:node==node-0"]});
    manager.run("plain", &plain).await;

    engines[0].stop();
    until_held(&engines[1..], "web", "web runs elsewhere", |held| matches!(held, [(_, "running")])).await;
    until_status(&manager, "web", "Up").await;
    until_status(&manager, "db", "Host Down (waits: the data of volume data is on node-0 alone)").await;
    assert_eq!(status(&manager, "plain").await, "Host Down");
    let told = manager.get("/swarmd/v1/containers/db/explain").await.fine().json();
    assert_eq!(told["waits"], "waits: the data of volume data is on node-0 alone");
    let new = manager.get("/containers/web/json").await.fine().json();
    assert_ne!(new["Id"], json!(old));
    assert_eq!(new["Config"]["Labels"]["com.docker.swarm.replaces"], json!(old));
    assert_eq!(
        manager.get(&format!("/containers/{old}/json")).await.status,
        404,
        "the old one does not count"
    );
    let log = manager.log();
    assert!(log.contains(&format!("Rescheduled container {old} from node-0 to ")), "{log}");

    engines[0].restart_on_same_port().await.expect("its port");
    manager.all_healthy(3).await;
    until_held(&engines, "web", "one web", |held| held.len() == 1 && held[0].0 != 0).await;
    assert_eq!(holders(&engines, "db"), [(0, "running")]);
    assert_eq!(holders(&engines, "plain"), [(0, "running")]);
    until_status(&manager, "db", "Up").await;
    assert_eq!(manager.names().await.len(), 3);
    no_volume_was_removed(&engines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_manager_moves_what_its_predecessor_did_not() {
    let engines = engines(3).await;
    let mut manager = quick(&engines).await;
    run_there(&manager, &engines, "web", &json!({})).await;
    run_there(&manager, &engines, "stopped", &json!({})).await;
    manager.post("/containers/stopped/stop", &Value::Null).await.fine();
    in_book(&manager, 1, |record| record["recipe"]["running"] == true).await;
    in_book(&manager, 1, |record| record["by_user"] == true).await;
    manager.kill();
    engines[0].stop();
    manager.revive();
    until_held(&engines[1..], "web", "web runs elsewhere", |held| matches!(held, [(_, "running")])).await;
    until_held(&engines[1..], "stopped", "the other is made", |held| matches!(held, [(_, "created")])).await;
    // A decision that is not on disk would be made anew, and maybe otherwise.
    listed(&manager, "superseded", 2, |_| true).await;
    manager.restart();
    engines[0].restart_on_same_port().await.expect("its port");
    for name in ["web", "stopped"] {
        until_held(&engines, name, "one of each", |held| held.len() == 1 && held[0].0 != 0).await;
    }
    manager.all_healthy(3).await;
    assert_eq!(manager.names().await.len(), 2);
    assert_eq!(holders(&engines, "stopped")[0].1, "created", "nobody started it");
    no_volume_was_removed(&engines);
}

/// Killed while an engine is busy with one step of a move. `back`: the node is back when the next manager starts.
async fn killed_during(route: &str, back: bool) -> (Vec<SimEngine>, Manager) {
    let engines = engines(3).await;
    let mut manager = quick(&engines).await;
    run_there(&manager, &engines, "web", &json!({})).await;
    in_book(&manager, 1, |record| record["recipe"]["running"] == true).await;
    for engine in &engines[1..] {
        engine.fault(Fault::on(route, Kind::Latency { ms: 1500 })).await;
    }
    engines[0].stop();
    until("the step is under way", async || engines[1..].iter().any(|e| e.open(route) > 0).then_some(()))
        .await;
    manager.kill();
    // The engine does to the end what it was asked for.
    until("it is done", async || engines.iter().all(|e| e.open(route) == 0).then_some(())).await;
    for engine in &engines {
        engine.clear_faults().await;
    }
    if back {
        engines[0].restart_on_same_port().await.expect("its port");
    }
    manager.revive();
    (engines, manager)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_amid_a_create_or_a_start_exactly_one_runs() {
    for route in ["POST /containers/create", "POST /containers/{id}/start"] {
        let (engines, manager) = killed_during(route, false).await;
        until_held(&engines[1..], "web", route, |held| matches!(held, [(_, "running")])).await;
        engines[0].restart_on_same_port().await.expect("its port");
        until_held(&engines, "web", route, |held| matches!(held, [(1 | 2, "running")])).await;
        manager.all_healthy(3).await;
        assert!(status(&manager, "web").await.starts_with("Up"));
        no_volume_was_removed(&engines);
    }
}

/// A manager made a copy and was killed before it noted that.
async fn with_a_copy(back: bool) -> (Vec<SimEngine>, Manager) {
    let engines = engines(2).await;
    let mut manager = quick(&engines).await;
    let old = run_there(&manager, &engines, "web", &json!({})).await;
    in_book(&manager, 1, |record| record["recipe"]["running"] == true).await;
    manager.kill();
    engines[0].stop();
    let mut copy = mover(&json!({}));
    copy["Labels"] = json!({
        "com.docker.swarm.replaces": old, "com.docker.swarm.reschedule-policies": "[\"on-node-failure\"]"
    });
    let body = copy.to_string();
    let mut direct = Connection::open(engines[1].addr).await;
    let length = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    direct.request("POST", "/containers/create?name=web", &length).await;
    direct.send(&body).await;
    assert_eq!(direct.answer(false).await.expect("an answer").expect("an answer").status, 201);
    if back {
        engines[0].restart_on_same_port().await.expect("its port");
    }
    manager.revive();
    (engines, manager)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_not_noted_takes_over_unless_the_node_is_back() {
    let (engines, manager) = with_a_copy(false).await;
    until_held(&engines[1..], "web", "the copy runs", |held| matches!(held, [(0, "running")])).await;
    assert_eq!(engines[1].calls("create"), 1, "no second copy");
    engines[0].restart_on_same_port().await.expect("its port");
    until_held(&engines, "web", "the copy alone", |held| matches!(held, [(1, "running")])).await;
    manager.all_healthy(2).await;
    assert!(status(&manager, "web").await.starts_with("Up"));

    let (engines, manager) = with_a_copy(true).await;
    until_held(&engines, "web", "the old one stays", |held| matches!(held, [(0, "running")])).await;
    manager.all_healthy(2).await;
    assert!(status(&manager, "web").await.starts_with("Up"));

    // Decided in favour of the new one, it stays so: only the start was under way.
    let (engines, manager) = killed_during("POST /containers/{id}/start", true).await;
    until_held(&engines, "web", "the new one stays", |held| matches!(held, [(1 | 2, "running")])).await;
    manager.all_healthy(3).await;
    assert!(status(&manager, "web").await.starts_with("Up"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_back_amid_the_move_keeps_its_container() {
    let engines = engines(2).await;
    let manager = quick(&engines).await;
    let id = run_there(&manager, &engines, "web", &json!({})).await;
    engines[1].fault(Fault::on("POST /containers/create", Kind::Hold)).await;
    engines[0].stop();
    until("a copy is made", async || (engines[1].open("create") > 0).then_some(())).await;
    engines[0].restart_on_same_port().await.expect("its port");
    manager.in_state(&engines[0], "Healthy").await;
    engines[1].clear_faults().await;
    until("the copy is done", async || (engines[1].open("create") == 0).then_some(())).await;
    until_held(&engines, "web", "the old one alone", |held| matches!(held, [(0, "running")])).await;
    assert_eq!(manager.get("/containers/web/json").await.fine().json()["Id"], json!(id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_the_list_keeps_its_containers_as_long_as_it_answers() {
    let engines = engines(2).await;
    let list = tempfile::NamedTempFile::new().expect("a file");
    let write = |engines: &[SimEngine]| {
        let lines: String = engines.iter().map(|e| format!("{}\n", e.addr)).collect();
        std::fs::write(list.path(), lines).expect("the list");
    };
    write(&engines);
    let url = format!("file://{}", list.path().display());
    let manager = Manager::listing(&url, "reschedule-delay = \"300ms\"\nengine-failure-retry = 1");
    manager.all_healthy(2).await;
    run_there(&manager, &engines, "web", &json!({})).await;
    in_book(&manager, 1, |record| record["recipe"]["running"] == true).await;
    write(&engines[1..]);
    manager.all_healthy(1).await;
    engines[0].forget_calls();
    until("it is called though it is not listed", async || (engines[0].calls("GET /info") > 0).then_some(()))
        .await;
    until("more than the delay", async || (engines[0].calls("GET /info") > 1).then_some(())).await;
    assert!(engines[1].containers().is_empty(), "it answers, so nothing moves");
    engines[0].stop();
    until_held(&engines[1..], "web", "it has moved", |held| matches!(held, [(0, "running")])).await;
    engines[0].restart_on_same_port().await.expect("its port");
    write(&engines);
    until_held(&engines, "web", "the new one alone", |held| matches!(held, [(1, "running")])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flapping_node_ends_with_one_of_each() {
    let engines = engines(3).await;
    let manager = quick(&engines).await;
    for name in ["one", "two", "three"] {
        run_there(&manager, &engines, name, &json!({})).await;
    }
    for pause in [50, 400, 700, 100, 1000] {
        engines[0].stop();
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        engines[0].restart_on_same_port().await.expect("its port");
        manager.in_state(&engines[0], "Healthy").await;
    }
    for name in ["one", "two", "three"] {
        until_held(&engines, name, "one of each", |held| matches!(held, [(_, "running")])).await;
        until_status(&manager, name, "Up").await;
    }
    no_volume_was_removed(&engines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_room_waits_until_there_is_some() {
    let engines = engines(2).await;
    let manager = quick(&engines).await;
    let ports = json!({"PortBindings": {"80/tcp": [{"HostPort": "80"}]}});
    run_there(&manager, &engines, "web", &ports).await;
    manager
        .run("other", &json!({"Image": "busybox", "Cmd": ["sleep", "infinity"], "HostConfig": ports}))
        .await;
    engines[0].stop();
    until_status(&manager, "web", "Host Down (waits: no place for it yet").await;
    assert_eq!(holders(&engines, "web").len(), 1);
    manager.call("DELETE", "/containers/other?force=1", &Value::Null).await.fine();
    until_held(&engines[1..], "web", "it has moved", |held| matches!(held, [(_, "running")])).await;
    until_status(&manager, "web", "Up").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_down_at_once_and_a_start_that_fails() {
    let engines = engines(4).await;
    let manager = quick(&engines).await;
    run_there(&manager, &engines, "one", &json!({})).await;
    engines[2].fault(Fault::on("start", Kind::Error { status: 500, message: "no such device".into() })).await;
    let rest: Vec<&SimEngine> = vec![&engines[0], &engines[2], &engines[3]];
    for engine in &rest {
        manager.post(&format!("/swarmd/v1/nodes/{}/pause", engine.name()), &Value::Null).await.fine();
    }
    manager.run("two", &mover(&json!({}))).await;
    for engine in &rest {
        manager.post(&format!("/swarmd/v1/nodes/{}/resume", engine.name()), &Value::Null).await.fine();
    }
    engines[0].stop();
    engines[1].stop();
    for name in ["one", "two"] {
        until_held(&engines[2..], name, "it runs where it can", |held| matches!(held, [(1, "running")]))
            .await;
    }
    engines[0].restart_on_same_port().await.expect("its port");
    engines[1].restart_on_same_port().await.expect("its port");
    for name in ["one", "two"] {
        until_held(&engines, name, "one of each", |held| matches!(held, [(3, "running")])).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_removes_the_new_one_has_removed_the_old_one() {
    let engines = engines(2).await;
    let manager = quick(&engines).await;
    run_there(&manager, &engines, "web", &json!({})).await;
    engines[0].stop();
    until_held(&engines[1..], "web", "it has moved", |held| matches!(held, [(_, "running")])).await;
    manager.call("DELETE", "/containers/web?force=1", &Value::Null).await.fine();
    // Its name is free, and the next one is another one.
    manager.run("web", &json!({"Image": "busybox", "Cmd": ["sleep", "infinity"]})).await;
    engines[0].restart_on_same_port().await.expect("its port");
    until_held(&engines, "web", "the second one alone", |held| matches!(held, [(1, "running")])).await;
    within("a list", manager.names()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_can_be_removed() {
    let engines = engines(2).await;
    let manager = quick(&engines).await;
    run_there(&manager, &engines, "db", &json!({"Binds": ["data:/d"]})).await;
    engines[0].stop();
    until_status(&manager, "db", "Host Down (waits:").await;
    let refused = manager.call("DELETE", "/containers/db", &Value::Null).await;
    assert!(refused.status >= 400 && refused.text().contains("--force"), "{}", refused.text());
    manager.call("DELETE", "/containers/db?force=1", &Value::Null).await.fine();
    assert_eq!(status(&manager, "db").await, "none");
    engines[0].restart_on_same_port().await.expect("its port");
    until_held(&engines, "db", "it is gone there, too", |held| held.is_empty()).await;
    assert_eq!(engines[1].calls("create"), 0);
    no_volume_was_removed(&engines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_answers_by_halves_keeps_its_containers() {
    let engines = engines(2).await;
    let manager = quick(&engines).await;
    run_there(&manager, &engines, "web", &json!({})).await;
    in_book(&manager, 1, |record| record["recipe"]["running"] == true).await;
    engines[0]
        .fault(Fault::on("GET /containers/json", Kind::Error { status: 500, message: "no".into() }))
        .await;
    engines[0].fault(Fault::everywhere(Kind::EndEvents)).await;
    manager.in_state(&engines[0], "Unhealthy").await;
    until_status(&manager, "web", "Host Down (waits: the engine of node-0 answers").await;
    assert_eq!(engines[1].calls("POST /containers/create"), 0);
    engines[0].stop();
    until_held(&engines[1..], "web", "it has moved", |held| matches!(held, [(_, "running")])).await;
}
