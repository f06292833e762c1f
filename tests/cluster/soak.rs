//! What the manager holds on to: descriptors and memory after many rounds of streams, most of them cut short.
//!
//! `SWARMD_SOAK_ROUNDS=100000 cargo test --release --test cluster soak -- --nocapture` is the long run.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::rig::{Connection, Manager, engines, sleeper, until};
use crate::sim::SimEngine;
use crate::sim::output::STDOUT;

const ROUNDS: usize = 1000;
/// Rounds at once.
const CLIENTS: usize = 8;
/// Rounds after which the manager has all the buffers, threads and caches that it will ever need.
const WARM: usize = 400;
/// What the allocator may keep of a peak, in KiB; a leak of 100 bytes a round shows in the long run.
const SLACK: u64 = 8 << 10;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

fn rounds() -> usize {
    std::env::var("SWARMD_SOAK_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS)
}

/// Create, start on a hijacked connection, read to the end, inspect.
async fn exec(connection: &mut Connection, manager: &Manager, container: &str) {
    let body = json!({"Cmd": ["echo", "hello"], "AttachStdout": true}).to_string();
    let length = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    connection.request("POST", &format!("/containers/{container}/exec"), &length).await;
    connection.send(&body).await;
    let created = connection.answer(false).await.expect("an answer").expect("an answer").fine();
    let id = created.json()["Id"].as_str().expect("an ID").to_string();
    let mut stream = Connection::open(manager.addr).await;
    let length = "Content-Type: application/json\r\nContent-Length: 2\r\n";
    stream.request("POST", &format!("/exec/{id}/start"), &format!("{UPGRADE}{length}")).await;
    stream.send("{}").await;
    assert_eq!(stream.head().await.expect("a head").expect("an answer").status, 101);
    assert!(stream.rest().await.expect("an end").ends_with(b"hello\n"));
    connection.request("GET", &format!("/exec/{id}/json"), "").await;
    let ended = connection.answer(false).await.expect("an answer").expect("an answer").fine();
    assert_eq!(ended.json()["ID"], id.as_str());
}

/// Opens a stream, waits for its head, and goes: closes, or resets.
async fn cut(manager: &Manager, method: &str, path: &str, more: &str, status: u16, reset: bool) {
    let mut stream = Connection::open(manager.addr).await;
    stream.request(method, path, more).await;
    assert_eq!(stream.head().await.expect("a head").expect("an answer").status, status, "{path}");
    if reset {
        stream.reset();
    }
}

async fn round(manager: &Manager, connection: &mut Connection, container: &str, n: usize) {
    let attach = format!("/containers/{container}/attach?stream=1&stdin=1&stdout=1");
    let follow = format!("/containers/{container}/logs?follow=1&stdout=1");
    let filter = "%7B%22type%22:[%22image%22]%7D";
    match n % 5 {
        0 => exec(connection, manager, container).await,
        1 => cut(manager, "POST", &attach, UPGRADE, 101, true).await,
        2 => cut(manager, "GET", &follow, "", 200, n.is_multiple_of(2)).await,
        3 => cut(manager, "GET", &format!("/events?filters={filter}"), "", 200, n.is_multiple_of(2)).await,
        _ => {
            connection.request("GET", &format!("/containers/{container}/logs?stdout=1&tail=5"), "").await;
            connection.answer(false).await.expect("an answer").expect("an answer").fine();
        }
    }
}

async fn spin(manager: &Manager, containers: &[String], rounds: usize) {
    let clients = (0..CLIENTS).map(async |client| {
        let mut connection = Connection::open(manager.addr).await;
        for n in (client..rounds).step_by(CLIENTS) {
            round(manager, &mut connection, &containers[n / 5 % containers.len()], n).await;
        }
    });
    futures_util::future::join_all(clients).await;
}

/// Containers print now and then: only by that do engines learn that nobody listens any more.
async fn chatter(engines: &[SimEngine]) {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for engine in engines {
            let outputs: Vec<_> =
                engine.engine().state().containers.iter().map(|c| c.output.clone()).collect();
            for output in outputs {
                output.send(STDOUT, "tick\n".into()).await;
            }
        }
    }
}

/// Descriptors once everything that was cut has been noticed: as many as before, or fewer.
async fn settled(manager: &Manager, engines: &[SimEngine], base: usize) -> usize {
    let streams = ["logs", "exec", "attach"];
    until("the end of all streams", async || {
        let open: u64 = streams.iter().map(|s| engines.iter().map(|e| e.open(s)).sum::<u64>()).sum();
        (open == 0 && manager.descriptors() <= base).then_some(())
    })
    .await;
    manager.descriptors()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptors_and_memory_stay_flat_over_many_streams() {
    let engines = engines(2).await;
    let manager = Manager::of(&engines).await;
    let mut containers = Vec::new();
    for i in 0..4 {
        let mut body = sleeper();
        body["OpenStdin"] = Value::Bool(true);
        containers.push(manager.run(&format!("soak-{i}"), &body).await);
    }
    tokio::select! {
        () = chatter(&engines) => {}
        () = soak(&engines, &manager, &containers) => {}
    }
}

async fn soak(engines: &[SimEngine], manager: &Manager, containers: &[String]) {
    spin(manager, containers, WARM).await;
    // Idle connections to engines stay for a minute: as many as a pool may keep for each engine.
    const POOL: usize = 16;
    let base = manager.descriptors() + POOL * engines.len();
    let before = settled(manager, engines, base).await;
    let (memory, begun, rounds) = (manager.memory(), Instant::now(), rounds());
    spin(manager, containers, rounds).await;
    let seconds = begun.elapsed().as_secs_f64();
    let after = settled(manager, engines, before + POOL * engines.len()).await;
    let grown = manager.memory();
    println!(
        "{rounds} rounds, {:.0} a second; descriptors {before} before, {after} after; resident {memory} KiB before, \
         {grown} KiB after",
        rounds as f64 / seconds
    );
    assert!(grown <= memory + SLACK, "{memory} KiB before, {grown} KiB after");
}
