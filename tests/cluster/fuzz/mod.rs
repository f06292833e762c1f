//! Malformed, ambiguous and hostile requests over raw TCP. Whatever comes: the manager lives on, every
//! well-formed request is answered, no connection hangs, and engines get nothing that routing does not allow.
//!
//! `SWARMD_FUZZ_SEED=N` repeats a run (the seed is printed on failure), `SWARMD_FUZZ_ROUNDS=N` makes it longer.
//! What was found is kept in `findings`.

mod findings;
mod generate;
mod judge;
mod words;

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::future::join_all;
use generate::{End, Script};
use serde_json::json;

use crate::rig::{Connection, Manager, engine, sleeper, within};
use crate::sim::{Profile, Release, SimEngine};

const ROUNDS: usize = 3000;
/// Connections at once.
const CLIENTS: usize = 12;
/// Rounds between two looks at the engines.
const BATCH: usize = 300;
/// How much more memory than at the start is still no leak, in KiB: buffers of connections, and an allocator
/// that keeps its peak.
const MEMORY: u64 = 96 << 10;

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Engines of different ages with some containers of known names.
async fn fleet() -> Vec<SimEngine> {
    let mut engines = Vec::new();
    for (name, release) in [("pi1", Release::V20_10), ("pi2", Release::V28_5)] {
        engines.push(engine(Profile { containers: 2, ..Profile::named(name).release(release) }).await);
    }
    engines
}

/// Makes what earlier rounds removed.
async fn replenish(manager: &Manager) {
    let mut body = sleeper();
    body["OpenStdin"] = json!(true);
    for name in ["web", "db"] {
        manager.post(&format!("/containers/create?name={name}"), &body).await;
        manager.post(&format!("/containers/{name}/start"), &json!(null)).await;
    }
    manager.post("/volumes/create", &json!({"Name": "data"})).await;
    manager.post("/networks/create", &json!({"Name": "net"})).await;
}

/// Plays one script; says what was wrong with the reaction.
async fn play(manager: &Manager, script: &Script) -> Result<(), String> {
    let mut connection = Connection::open(manager.addr).await;
    for piece in &script.pieces {
        connection.send(piece).await;
        tokio::task::yield_now().await;
    }
    let mut hijacked = false;
    if let Some(due) = &script.due {
        for (i, head_only) in due.iter().enumerate() {
            match connection.answer(*head_only).await {
                Ok(Some(answer)) if answer.status == 101 => {
                    hijacked = true;
                    break;
                }
                Ok(Some(answer)) if answer.header("connection") == Some("close") => break,
                Ok(Some(_)) => {}
                Ok(None) if i == 0 => return Err("closed without an answer".to_string()),
                // Behind an answer to a request whose body was not wanted.
                Ok(None) => break,
                // Closed on a request that is none, with more of them unread.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => break,
                Err(e) => return Err(e.to_string()),
            }
        }
    }
    match script.end {
        _ if hijacked => connection.reset(),
        End::Close => drop(connection),
        End::Reset => connection.reset(),
        End::Finish => {
            connection.finish().await;
            // A stream that was asked for may go on until its client is gone: then silence is no hang.
            let rest = tokio::time::timeout(Duration::from_millis(script.patience), connection.rest()).await;
            if rest.is_err() && !script.streams {
                within(&format!("the end of {:?}", script.shown()), connection.rest()).await.ok();
            }
            connection.reset();
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_neither_break_nor_pass_the_manager() {
    let seed = setting("SWARMD_FUZZ_SEED", fastrand::u64(..));
    let rounds = setting("SWARMD_FUZZ_ROUNDS", ROUNDS);
    // Shown when the test fails.
    println!("SWARMD_FUZZ_SEED={seed} SWARMD_FUZZ_ROUNDS={rounds}");
    let engines = fleet().await;
    let mut manager = Manager::of(&engines).await;
    replenish(&manager).await;
    let (memory, mut random) = (manager.memory(), fastrand::Rng::with_seed(seed));
    for batch in 0..rounds.div_ceil(BATCH) {
        engines.iter().for_each(SimEngine::forget_calls);
        let scripts: Vec<Script> =
            (0..BATCH).map(|i| generate::script(&mut random, batch * BATCH + i)).collect();
        let clients = (0..CLIENTS).map(async |client| {
            for script in scripts.iter().skip(client).step_by(CLIENTS) {
                let fate = play(&manager, script).await;
                assert_eq!(fate, Ok(()), "{}", script.shown());
            }
        });
        join_all(clients).await;
        assert!(manager.is_sound(), "{}", manager.log());
        for engine in &engines {
            judge::engine(engine, &scripts);
        }
        replenish(&manager).await;
        manager.get("/containers/json?all=1").await.fine();
        manager.all_healthy(engines.len()).await;
    }
    let grown = manager.memory();
    assert!(grown <= memory + MEMORY, "{memory} KiB before, {grown} KiB after");
}
