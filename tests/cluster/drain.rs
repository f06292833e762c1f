//! `swarmd node drain` and `swarmd rebalance`: the order of steps, failure at each of them, time that is up,
//! clients that leave, a manager that is killed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::rig::{Connection, Manager, engines, sleeper, until};
use crate::sim::{Fault, Kind, SimEngine};

fn path(engine: &SimEngine, verb: &str) -> String {
    format!("/swarmd/v1/nodes/{}/{verb}", engine.name())
}

/// All lines of an answer.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

async fn drain(manager: &Manager, engine: &SimEngine, body: Value) -> Vec<Value> {
    lines(&manager.post(&path(engine, "drain"), &body).await.fine().text())
}

fn last(lines: &[Value]) -> &Value {
    let done = lines.last().expect("a last line");
    assert_eq!(done["step"], "done", "{done}");
    done
}

/// What was done to a container, on which nodes: `created node-1, started node-1, …`.
fn deeds(lines: &[Value], container: &str) -> String {
    let did = lines.iter().filter(|l| l["step"] == "did" && l["container"] == container);
    let word = |l: &Value, key: &str| l[key].as_str().unwrap_or("?").to_string();
    let words = did.map(|l| format!("{} {}", word(l, "deed"), word(l, "node")));
    words.collect::<Vec<_>>().join(", ")
}

/// Where each container is and how it is: `node-1 running`.
fn whereabouts(engines: &[SimEngine]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for engine in engines {
        for (name, state) in engine.containers() {
            found.entry(name).or_default().push(format!("{} {state}", engine.name()));
        }
    }
    found
}

/// Runs containers on an engine, whatever the strategy says.
async fn run_on(manager: &Manager, engines: &[SimEngine], on: usize, names: &[&str], body: &Value) {
    let others = || engines.iter().enumerate().filter(|(i, _)| *i != on).map(|(_, e)| e);
    for other in others() {
        manager.post(&path(other, "pause"), &Value::Null).await.fine();
    }
    for name in names {
        manager.run(name, body).await;
    }
    for other in others() {
        manager.post(&path(other, "resume"), &Value::Null).await.fine();
    }
}

fn with_port() -> Value {
    let mut body = sleeper();
    body["HostConfig"] = json!({ "PortBindings": { "80/tcp": [{ "HostPort": "8080" }] } });
    body
}

fn error(route: &str) -> Fault {
    Fault::on(route, Kind::Error { status: 500, message: "the disk is full".into() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_is_empty_and_each_step_was_told() {
    let engines = engines(3).await;
    let mut manager = Manager::of(&engines).await;
    run_on(&manager, &engines, 0, &["web"], &sleeper()).await;
    // The simulated engines are one machine: its ports are there once.
    run_on(&manager, &engines, 0, &["port"], &with_port()).await;
    let before = whereabouts(&engines);
    let planned = drain(&manager, &engines[0], json!({ "dry_run": true })).await;
    let ways: Vec<_> =
        planned[0]["moves"].as_array().unwrap().iter().map(|m| (&m["container"], &m["way"])).collect();
    assert_eq!(ways, [(&json!("web"), &json!("start-first")), (&json!("port"), &json!("stop-first"))]);
    assert_eq!(last(&planned)["complete"], true);
    assert_eq!(whereabouts(&engines), before, "a dry run changes nothing");
    assert_eq!(manager.get("/swarmd/v1/nodes/node-0").await.fine().json()["availability"], "active");

    let told = drain(&manager, &engines[0], json!({ "reason": "new disk" })).await;
    assert_eq!((&told[0]["step"], &told[0]["availability"]), (&json!("ordered"), &json!("drained")));
    assert_eq!(last(&told)["complete"], true, "{told:#?}");
    assert_eq!(deeds(&told, "web"), "created node-1, started node-1, stopped node-0, removed node-0");
    assert_eq!(deeds(&told, "port"), "created node-2, stopped node-0, started node-2, removed node-0");
    assert!(engines[0].containers().is_empty());
    assert_eq!(manager.names().await, ["node-1/web", "node-2/port"]);
    manager.restart();
    manager.all_healthy(3).await;
    let node = manager.get("/swarmd/v1/nodes/node-0").await.fine().json();
    assert_eq!((&node["availability"], &node["reason"]), (&json!("drained"), &json!("new disk")));
    manager.run("late", &sleeper()).await;
    assert!(engines[0].containers().is_empty(), "nothing new is placed there");
    manager.post(&path(&engines[0], "resume"), &Value::Null).await.fine();
    manager.run("later", &sleeper()).await;
    assert_eq!(engines[0].containers().len(), 1);
}

/// Faults on the source or the target, what is done until then, and where the container is after that.
type Failure = (&'static str, bool, &'static str, &'static str, &'static str, &'static [&'static str]);

const FAILURES: &[Failure] = &[
    ("web", false, "/containers/create", "", "could not be created", &["node-0 running"]),
    ("web", false, "/start", "created node-1, undone node-1", "does not run on node-1", &["node-0 running"]),
    ("web", true, "/stop", "created node-1, started node-1", "could not be stopped", &["node-1 running"]),
    (
        "web",
        true,
        "DELETE /containers",
        "created node-1, started node-1, stopped node-0",
        "could not be removed",
        &["node-1 running"],
    ),
    ("port", false, "/containers/create", "", "could not be created", &["node-0 running"]),
    ("port", true, "/stop", "created node-1, undone node-1", "could not be stopped", &["node-0 running"]),
    (
        "port",
        false,
        "/start",
        "created node-1, stopped node-0, undone node-1, restarted node-0",
        "it runs on node-0 again",
        &["node-0 running"],
    ),
    (
        "port",
        true,
        "DELETE /containers",
        "created node-1, stopped node-0, started node-1",
        "could not be removed",
        &["node-1 running"],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_the_container_runs_on() {
    for (name, at_source, route, done, why, left) in FAILURES {
        let engines = engines(2).await;
        let manager = Manager::of(&engines).await;
        let body = if *name == "port" { with_port() } else { sleeper() };
        run_on(&manager, &engines, 0, &[name], &body).await;
        engines[usize::from(!at_source)].fault(error(route)).await;
        let told = drain(&manager, &engines[0], Value::Null).await;
        let end = last(&told);
        assert_eq!((&end["complete"], &end["moved"]), (&json!(false), &json!(0)), "{name} {route}: {end}");
        let reason = end["left"][0]["why"].as_str().unwrap();
        assert!(reason.contains(why) && reason.contains("the disk is full"), "{name} {route}: {reason}");
        assert_eq!(deeds(&told, name), *done, "{name} {route}");
        engines[usize::from(!at_source)].clear_faults().await;
        // A node that could not do the last step is asked again.
        until("one is left", async || (whereabouts(&engines)[*name] == *left).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_time_is_up_the_rest_is_told_and_the_order_stands() {
    let engines = engines(2).await;
    let manager = Manager::of(&engines).await;
    run_on(&manager, &engines, 0, &["one", "two"], &sleeper()).await;
    let slow = Fault::on("/containers/create", Kind::Latency { ms: 3000 });
    engines[1].fault(slow.times(1)).await;
    let told = drain(&manager, &engines[0], json!({ "timeout": 1 })).await;
    let end = last(&told);
    assert!(end["note"].as_str().unwrap().contains("time is up"), "{end}");
    let left: Vec<_> = end["left"].as_array().unwrap().iter().map(|l| l["why"].as_str().unwrap()).collect();
    assert!(left.len() == 2 && left.iter().all(|why| why.contains("time is up")), "{left:?}");
    assert_eq!(manager.names().await, ["node-0/one", "node-0/two"]);
    until("what came too late is removed", async || {
        let (made, gone) = (engines[1].calls("/containers/create"), engines[1].calls("DELETE /containers"));
        (made == 1 && gone == 1 && engines[1].containers().is_empty()).then_some(())
    })
    .await;
    let told = drain(&manager, &engines[0], Value::Null).await;
    assert_eq!(last(&told)["moved"], 2, "{told:#?}");
}

/// Opens a drain and reads until a line holds `text`.
async fn begin(manager: &Manager, engine: &SimEngine, text: &str) -> crate::rig::http::Stream {
    let mut connection = Connection::open(manager.addr).await;
    connection.request("POST", &path(engine, "drain"), "Content-Length: 0\r\n").await;
    let head = connection.head().await.expect("a head").expect("an answer");
    assert_eq!(head.status, 200);
    let mut stream = connection.stream(&head);
    let mut seen = String::new();
    while !seen.contains(text) {
        let piece = stream.next().await.expect("a whole stream").expect("more lines");
        seen += &String::from_utf8_lossy(&piece);
    }
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_ends_it_after_the_container_at_hand() {
    let engines = engines(2).await;
    let manager = Manager::of(&engines).await;
    let names = ["aa", "bb", "cc", "dd"];
    run_on(&manager, &engines, 0, &names, &sleeper()).await;
    engines[0].fault(Fault::on("/stop", Kind::Latency { ms: 500 })).await;
    let stream = begin(&manager, &engines[0], "started").await;
    let busy = manager.post("/swarmd/v1/rebalance", &Value::Null).await;
    assert_eq!(busy.status, 409);
    assert!(busy.text().contains("node-0 is being drained"), "{}", busy.text());
    stream.connection.reset();
    until("nobody moves containers", async || {
        (manager.post("/swarmd/v1/rebalance", &Value::Null).await.status == 200).then_some(())
    })
    .await;
    let found = whereabouts(&engines);
    assert!(
        names.iter().all(|name| found[*name].len() == 1 && found[*name][0].ends_with("running")),
        "{found:?}"
    );
    let moved = found.values().filter(|at| at[0].starts_with("node-1")).count();
    assert!((1..4).contains(&moved), "one was at hand, the others were not begun with: {found:?}");
    engines[0].clear_faults().await;
    assert_eq!(last(&drain(&manager, &engines[0], Value::Null).await)["moved"], 4 - moved);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manager_that_is_killed_in_the_middle_leaves_nothing_twice() {
    let engines = engines(2).await;
    let mut manager = Manager::of(&engines).await;
    run_on(&manager, &engines, 0, &["web"], &sleeper()).await;
    engines[0].fault(Fault::on("/stop", Kind::Hang).times(1)).await;
    let _stream = begin(&manager, &engines[0], "started").await;
    until("the old one is to stop", async || (engines[0].open("/stop") == 1).then_some(())).await;
    manager.restart();
    manager.all_healthy(2).await;
    // The old one runs, so the new one goes.
    until("one is left", async || (whereabouts(&engines)["web"] == ["node-0 running"]).then_some(())).await;
    until("it is seen", async || (manager.names().await == ["node-0/web"]).then_some(())).await;
    drain(&manager, &engines[0], Value::Null).await;
    until("one is left", async || {
        (whereabouts(&engines)["web"] == ["node-1 running"] && manager.names().await == ["node-1/web"])
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_with_the_new_one_does_not_win_when_it_is_back() {
    let engines = engines(2).await;
    let manager = Manager::of(&engines).await;
    run_on(&manager, &engines, 0, &["web"], &sleeper()).await;
    // The last answer that comes from there is that of the start: nobody can take back what it started.
    engines[1].fault(Fault::on("GET /containers/{id}/json", Kind::Hang)).await;
    let mut stream = begin(&manager, &engines[0], "started").await;
    engines[1].stop();
    while stream.next().await.unwrap().is_some() {}
    assert_eq!(manager.names().await, ["node-0/web"]);
    assert_eq!(whereabouts(&engines)["web"], ["node-0 running", "node-1 running"]);
    engines[1].clear_faults().await;
    engines[1].restart_on_same_port().await.expect("its port");
    until("the new one is gone", async || (whereabouts(&engines)["web"] == ["node-0 running"]).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_container_is_seen_when_it_is_well_and_the_old_one_until_then() {
    let engines = engines(2).await;
    let manager = Manager::of(&engines).await;
    run_on(&manager, &engines, 0, &["web"], &sleeper()).await;
    engines[1].fault(Fault::on("/start", Kind::Latency { ms: 300 })).await;
    let mut stream = begin(&manager, &engines[0], "created").await;
    assert_eq!(manager.names().await, ["node-0/web"]);
    assert_eq!(manager.get("/containers/web/json").await.fine().json()["State"]["Running"], true);
    let taken = manager.post("/containers/create?name=web", &sleeper()).await;
    assert_eq!(taken.status, 409, "{}", taken.text());
    while stream.next().await.unwrap().is_some() {}
    assert_eq!(manager.names().await, ["node-1/web"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rebalance_evens_out_and_ends_at_the_first_failure() {
    let engines = engines(3).await;
    let manager = Manager::of(&engines).await;
    run_on(&manager, &engines, 0, &["aa", "bb", "cc", "dd", "ee", "ff"], &sleeper()).await;
    let planned = manager.post("/swarmd/v1/rebalance", &json!({ "dry_run": true })).await.fine().text();
    let planned = lines(&planned);
    assert_eq!(planned[0]["moves"].as_array().unwrap().len(), 4);
    assert_eq!(engines[0].containers().len(), 6, "a dry run changes nothing");
    engines[2].fault(error("/start").times(1)).await;
    let told = lines(&manager.post("/swarmd/v1/rebalance", &json!({ "max_moves": 3 })).await.fine().text());
    let end = last(&told);
    assert_eq!((&end["complete"], &end["moved"]), (&json!(false), &json!(1)), "{told:#?}");
    assert_eq!(engines[0].containers().len(), 5);
    let told = lines(&manager.post("/swarmd/v1/rebalance", &Value::Null).await.fine().text());
    assert_eq!(last(&told)["complete"], true);
    let counts: Vec<_> = engines.iter().map(|e| e.containers().len()).collect();
    assert_eq!(counts, [2, 2, 2]);
    assert!(whereabouts(&engines).values().all(|at| at.len() == 1 && at[0].ends_with("running")));
    let refused = manager.post("/swarmd/v1/rebalance", &json!({ "max_moves": 0 })).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_manager_had_stopped_is_started_again() {
    let engines = engines(2).await;
    let mut manager = Manager::of(&engines).await;
    run_on(&manager, &engines, 0, &["port"], &with_port()).await;
    engines[1].fault(Fault::on("/start", Kind::Hang)).await;
    let _stream = begin(&manager, &engines[0], "stopped").await;
    until("the new one is to start", async || (engines[1].open("/start") == 1).then_some(())).await;
    assert_eq!(whereabouts(&engines)["port"], ["node-0 exited", "node-1 created"]);
    manager.restart();
    engines[1].clear_faults().await;
    until("the old one runs", async || (whereabouts(&engines)["port"] == ["node-0 running"]).then_some(()))
        .await;
    until("it is seen", async || (manager.names().await == ["node-0/port"]).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_does_during_a_move_counts() {
    for (verb, path_of, left) in [
        ("POST", "/containers/web/stop", &["node-0 exited"][..]),
        ("POST", "/containers/web/rename?name=other", &["node-0 running"]),
        ("DELETE", "/containers/web?force=1", &[]),
    ] {
        let engines = engines(2).await;
        let manager = Manager::of(&engines).await;
        run_on(&manager, &engines, 0, &["web"], &sleeper()).await;
        engines[1].fault(Fault::on("/start", Kind::Hold)).await;
        let mut stream = begin(&manager, &engines[0], "created").await;
        manager.call(verb, path_of, &Value::Null).await.fine();
        engines[1].clear_faults().await;
        while stream.next().await.unwrap().is_some() {}
        until("only that is left", async || {
            let found = whereabouts(&engines);
            (found.values().flatten().collect::<Vec<_>>() == left.iter().collect::<Vec<_>>()).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_one_that_was_made_once_more_is_the_one_that_is_taken_back() {
    let engines = engines(2).await;
    let manager = Manager::of(&engines).await;
    let mut body = sleeper();
    body["MacAddress"] = json!("02:42:ac:11:00:09");
    run_on(&manager, &engines, 0, &["web"], &body).await;
    let taken = Kind::Error { status: 500, message: "Address already in use".into() };
    engines[1].fault(Fault::on("/start", taken).times(1)).await;
    engines[1].fault(error("/start")).await;
    let told = drain(&manager, &engines[0], Value::Null).await;
    let why = last(&told)["left"][0]["why"].as_str().unwrap();
    assert!(why.contains("the disk is full") && why.contains("as before"), "{why}");
    assert_eq!(engines[1].calls("/containers/create"), 2, "once more, without the address");
    assert_eq!(whereabouts(&engines)["web"], ["node-0 running"]);
}
