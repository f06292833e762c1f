//! What the fuzz found, one test for each: they stay fixed.

use crate::rig::{Connection, Manager, engines, sleeper};
use crate::sim::{Call, SimEngine};

/// `%2f` within an ID used to become a slash on the engine's side: `/exec/a/../../swarm/json`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encoded_slashes_and_dots_lead_to_no_other_path_of_an_engine() {
    let engines = engines(1).await;
    let manager = Manager::of(&engines).await;
    manager.run("web", &sleeper()).await;
    engines.iter().for_each(SimEngine::forget_calls);
    for (method, path) in [
        ("GET", "/exec/x%2f..%2f..%2fswarm/json"),
        ("POST", "/exec/x%2f..%2f..%2fcontainers%2fprune%3f/start"),
        ("GET", "/distribution/../swarm/json"),
        ("GET", "/distribution/%2e%2e/secrets/json"),
        ("POST", "/networks/x%2f..%2f..%2fplugins%2fpull%3f/connect"),
        ("GET", "/exec/pi1%2Fweb/json"),
        ("POST", "/networks/no%2Fnet/connect"),
    ] {
        let body = serde_json::json!({"Container": "web"});
        let answer = manager.call(method, path, &body).await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
    }
    let strange = |c: &Call| ["..", "exec", "connect", "distribution"].iter().any(|w| c.path.contains(w));
    let strange: Vec<_> = engines[0].recent_calls().into_iter().filter(strange).collect();
    assert!(strange.is_empty(), "{strange:?}");
}

/// An unreadable request on a connection must not take others with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_behind_a_malformed_one_is_not_run() {
    let engines = engines(1).await;
    let manager = Manager::of(&engines).await;
    let mut connection = Connection::open(manager.addr).await;
    let create = "POST /volumes/create HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{\"Name\":\"own\"}";
    connection
        .send(format!("GET /_ping HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{create}"))
        .await;
    let _ = connection.rest().await;
    assert_eq!(engines[0].calls("POST /volumes/create"), 0);
}
