//! What the tests are written with: engines, a manager, requests, waiting.

pub mod http;
pub mod manager;

use std::future::Future;
use std::time::Duration;

use serde_json::{Value, json};

pub use http::{Answer, Connection};
pub use manager::Manager;

use crate::sim::{Profile, SimEngine};

/// Longest wait for anything that must come. Generous: the machine may be busy with other things.
pub const LIMIT: Duration = Duration::from_secs(90);

/// Waits for something that must come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {} s", LIMIT.as_secs()),
    }
}

/// Asks again and again until there is an answer.
pub async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(what, asking).await
}

/// Engines `node-0`, `node-1`, …
pub async fn engines(count: usize) -> Vec<SimEngine> {
    let mut engines = Vec::new();
    for i in 0..count {
        engines.push(engine(Profile::named(&format!("node-{i}"))).await);
    }
    engines
}

/// One engine.
pub async fn engine(profile: Profile) -> SimEngine {
    SimEngine::start(profile).await.expect("an engine on loopback")
}

/// The body of a create of something that runs until it is stopped.
pub fn sleeper() -> Value {
    json!({"Image": "busybox", "Cmd": ["sleep", "infinity"]})
}
