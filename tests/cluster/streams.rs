//! Streams and who ends them: when the client is gone, the engine's side is closed.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{Connection, Manager, engines, sleeper, until, within};
use crate::sim::SimEngine;

async fn closed(engine: &SimEngine, route: &str) {
    until(&format!("the end of {route}"), async || (engine.open(route) == 0).then_some(())).await;
}

async fn opened(engine: &SimEngine, route: &str) {
    until(&format!("{route} on the engine"), async || (engine.open(route) > 0).then_some(())).await;
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_ends_its_quiet_streams_on_the_engine() {
    let engines = engines(1).await;
    let manager = Manager::of(&engines).await;
    manager.run("quiet", &sleeper()).await;
    for (method, path) in [
        ("GET", "/containers/quiet/logs?follow=1&stdout=1"),
        ("GET", "/containers/quiet/stats?stream=1"),
        ("POST", "/containers/quiet/wait"),
        ("POST", "/containers/quiet/attach?stream=1&stdout=1"),
    ] {
        let mut connection = Connection::open(manager.addr).await;
        connection.request(method, path, "").await;
        let route = path.split(['?', '/']).nth(3).expect("an action");
        opened(&engines[0], route).await;
        drop(connection);
        closed(&engines[0], route).await;
    }
}

/// A hijacked connection whose client has ended its direction may still be read from, so that is no reason to
/// end it; but a client that is gone altogether is, however silent the container.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attached_client_that_is_gone_altogether_ends_its_stream() {
    let engines = engines(1).await;
    let manager = Manager::of(&engines).await;
    manager.run("quiet", &json!({"Image": "busybox", "Cmd": ["sleep", "infinity"], "OpenStdin": true})).await;
    let path = "/containers/quiet/attach?stream=1&stdin=1&stdout=1";
    let base = manager.descriptors();
    let ended =
        async || until("the end of both sides", async || (manager.descriptors() <= base).then_some(())).await;

    let mut connection = Connection::open(manager.addr).await;
    connection.request("POST", path, UPGRADE).await;
    assert_eq!(connection.head().await.expect("a head").expect("an answer").status, 101);
    connection.finish().await;
    let output = engines[0].engine().state().containers[0].output.clone();
    // The end of the input has arrived before the output is written.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    output.send(crate::sim::output::STDOUT, "still there".into()).await;
    let mut got = connection.answer_bytes(8 + 11).await;
    assert_eq!(got.split_off(8), b"still there");
    connection.reset();
    ended().await;

    let mut unix = tokio::net::UnixStream::connect(manager.socket()).await.expect("the socket");
    let request = format!("POST {path} HTTP/1.1\r\nHost: test\r\n{UPGRADE}\r\n");
    unix.write_all(request.as_bytes()).await.expect("sent");
    let mut head = [0; 12];
    within("a head", unix.read_exact(&mut head)).await.expect("a head");
    assert_eq!(&head, b"HTTP/1.1 101");
    drop(unix);
    ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_behind_an_upgrade_request_are_the_streams_or_the_next_request_never_both() {
    let engines = engines(1).await;
    let manager = Manager::of(&engines).await;
    manager
        .run("cat", &json!({"Image": "busybox", "Cmd": ["cat"], "OpenStdin": true, "StdinOnce": true}))
        .await;
    engines[0].forget_calls();
    let hidden = "GET /containers/json?hidden=1 HTTP/1.1\r\nHost: x\r\n\r\n";

    // The engine says 101: the rest is input of the process, though it looks like a request.
    let mut connection = Connection::open(manager.addr).await;
    let path = "/containers/cat/attach?stream=1&stdin=1&stdout=1";
    connection.send(format!("POST {path} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n{hidden}")).await;
    assert_eq!(connection.head().await.expect("a head").expect("an answer").status, 101);
    connection.finish().await;
    let echoed = String::from_utf8(connection.rest().await.expect("an end")).expect("text");
    assert!(echoed.contains(hidden), "{echoed:?}");

    // The engine refuses: the rest is the next request, and is routed like any other.
    for refused in ["/containers/none/attach?stream=1", "/exec/none/start"] {
        let mut connection = Connection::open(manager.addr).await;
        let swarm = "GET /swarm HTTP/1.1\r\nHost: x\r\n\r\n";
        connection.send(format!("POST {refused} HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n{swarm}")).await;
        let statuses = [connection.answer(false).await, connection.answer(false).await];
        let statuses = statuses.map(|a| a.expect("an answer").expect("an answer").status);
        assert_eq!(statuses, [404, 503], "{refused}");
    }
    assert!(
        engines[0].recent_calls().iter().all(|c| !c.path.contains("hidden") && !c.path.contains("swarm"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn execs_run_to_their_end() {
    let engines = engines(2).await;
    let manager = Manager::of(&engines).await;
    manager.run("web", &sleeper()).await;
    let exec = json!({"Cmd": ["sh", "-c", "echo out; exit 5"], "AttachStdout": true, "AttachStderr": true});
    let id = manager.post("/containers/web/exec", &exec).await.fine().json()["Id"]
        .as_str()
        .expect("an ID")
        .to_string();
    let mut connection = Connection::open(manager.addr).await;
    let start =
        "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n";
    connection.request("POST", &format!("/exec/{id}/start"), start).await;
    connection.send("{}").await;
    assert_eq!(connection.head().await.expect("a head").expect("an answer").status, 101);
    assert!(connection.rest().await.expect("an end").ends_with(b"out\n"));
    let ended = manager.get(&format!("/exec/{id}/json")).await.fine().json();
    assert_eq!((ended["Running"].as_bool(), ended["ExitCode"].as_i64()), (Some(false), Some(5)));
    assert_eq!(manager.post("/exec/0123/start", &Value::Null).await.status, 404);
}
