//! The manager, a process of its own, over simulated engines: which image starts where, among machines of
//! several architectures; which is copied, which is pulled; and copies that break.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test crate")]

#[path = "sim/mod.rs"]
mod sim;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use sim::{Fault, Kind, Profile, SimEngine};
use swarmd::docker::endpoint::Endpoint;
use swarmd::docker::http::{Client, full, request};

/// Longest wait for anything that must come.
const LIMIT: Duration = Duration::from_secs(60);

/// How the engines call an inspect of an image.
const EXAMINED: &str = "GET /images/{id}/json";

/// A manager of given engines; killed with this value.
struct Manager {
    child: Child,
    client: Client,
    _home: tempfile::TempDir,
}

impl Manager {
    async fn of(engines: &[SimEngine]) -> Manager {
        let home = tempfile::tempdir().unwrap();
        let nodes: Vec<_> = engines.iter().map(|e| e.addr.to_string()).collect();
        let (socket, file) = (home.path().join("socket"), home.path().join("config.toml"));
        let config = format!(
            "role = \"manager\"\nstate-dir = {:?}\n[discovery]\nurl = \"nodes://{}\"\n[manager]\nhost = [\"unix://{}\"]\n",
            home.path().join("state"),
            nodes.join(","),
            socket.display(),
        );
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmd"));
        command.args(["run", "--config"]).arg(&file).env_clear().stdin(Stdio::null()).stderr(Stdio::null());
        let manager = Manager {
            child: command.spawn().unwrap(),
            client: Client::new(Endpoint::Unix(socket), None),
            _home: home,
        };
        manager.until_healthy(engines.len()).await;
        manager
    }

    async fn until_healthy(&self, count: usize) {
        let all = async {
            loop {
                let info: Value = self.client.get_json("/info", LIMIT).await.unwrap_or_default();
                if info["SystemStatus"].to_string().matches("Healthy").count() == count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, all).await.unwrap();
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) =
            self.client.exchange(request(Method::POST, path, full(body)).unwrap(), LIMIT).await.unwrap();
        (status.as_u16(), String::from_utf8_lossy(&answer).into_owned())
    }

    async fn create(&self, query: &str, body: Value) -> (u16, String) {
        self.post(&format!("/v1.41/containers/create?{query}"), &body).await
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `pi` (arm64), `pc` (amd64) and `zero` (arm/v6).
async fn engines() -> Vec<SimEngine> {
    let mut engines = Vec::new();
    for (name, architecture) in [("pi", "arm64"), ("pc", "amd64"), ("zero", "arm/v6")] {
        let profile = Profile::named(name).architecture(architecture);
        engines.push(SimEngine::start(profile).await.unwrap());
    }
    engines
}

/// `a`, `b` and `c`, all alike.
async fn alike() -> Vec<SimEngine> {
    let mut engines = Vec::new();
    for name in ["a", "b", "c"] {
        engines.push(SimEngine::start(Profile::named(name)).await.unwrap());
    }
    engines
}

/// An image that only `engine` has and that came from no registry.
fn build(engine: &SimEngine, name: &str, architecture: &str) {
    let mut image = sim::images::named(name, architecture);
    image.digests.clear();
    engine.engine().state().add_image(image);
    engine.engine().bump();
}

fn counts(engines: &[SimEngine]) -> Vec<usize> {
    engines.iter().map(|e| e.containers().len()).collect()
}

fn has(engine: &SimEngine, name: &str) -> bool {
    engine.engine().state().image(name).is_some()
}

fn of(image: &str) -> Value {
    json!({"Image": image, "Cmd": ["sleep", "infinity"]})
}

fn on(image: &str, node: &str) -> Value {
    json!({"Image": image, "Cmd": ["sleep", "infinity"], "Env": [format!("constraint:node=={node}")]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_no_registry_starts_only_where_it_runs() {
    let engines = engines().await;
    build(&engines[0], "app:arm64", "arm64");
    build(&engines[0], "app:v6", "arm/v6");
    let manager = Manager::of(&engines).await;
    for _ in 0..4 {
        let (status, answer) = manager.create("", of("app:arm64")).await;
        assert_eq!(status, 201, "{answer}");
    }
    assert_eq!(counts(&engines), [4, 0, 0]);
    // An older ARM image runs on both boards, and is copied.
    for _ in 0..4 {
        let (status, answer) = manager.create("", of("app:v6")).await;
        assert_eq!(status, 201, "{answer}");
    }
    assert_eq!(counts(&engines), [4, 0, 4]);
    assert!(has(&engines[2], "app:v6") && !has(&engines[1], "app:v6"));
    let (status, answer) = manager.create("", on("app:arm64", "pc")).await;
    assert_eq!(status, 500, "{answer}");
    assert!(answer.contains("pc: needs linux/arm64, is linux/amd64"), "{answer}");
    assert!(!has(&engines[1], "app:arm64"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_loaded_everywhere_still_starts_only_where_it_runs() {
    let engines = engines().await;
    for engine in &engines {
        build(engine, "app:1", "amd64");
    }
    let manager = Manager::of(&engines).await;
    for _ in 0..3 {
        assert_eq!(manager.create("", of("app:1")).await.0, 201);
    }
    assert_eq!(counts(&engines), [0, 3, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_a_registry_is_pulled_for_each_platform() {
    let engines = engines().await;
    let manager = Manager::of(&engines).await;
    // Known for none: spread as ever, and every node pulls its own.
    for _ in 0..3 {
        let (status, answer) = manager.create("", of("redis")).await;
        assert_eq!(status, 201, "{answer}");
    }
    for (engine, architecture) in engines.iter().zip(["arm64", "amd64", "arm/v6"]) {
        let state = engine.engine().state();
        if let Some(image) = state.image("redis") {
            assert_eq!(image.architecture, architecture, "{}", engine.name());
        }
    }
    // Asked for by node: not what another platform has, but a pull.
    let (status, answer) = manager.create("", on("redis", "pc")).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(engines[1].engine().state().image("redis").unwrap().architecture, "amd64");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn platform_is_a_condition_of_create_and_pull() {
    let engines = engines().await;
    let manager = Manager::of(&engines).await;
    for _ in 0..2 {
        let (status, answer) = manager.create("platform=linux/arm64", of("busybox")).await;
        assert_eq!(status, 201, "{answer}");
    }
    assert_eq!(counts(&engines), [2, 0, 0]);
    let (status, answer) = manager.create("platform=linux/arm64", on("busybox", "zero")).await;
    assert_eq!(status, 500, "{answer}");
    assert!(answer.contains("zero: needs linux/arm64, is linux/arm/v6"), "{answer}");
    // No node is of that kind: engines know whether they emulate it.
    let (status, answer) = manager.create("platform=linux/riscv64", of("busybox")).await;
    assert_eq!(status, 201, "{answer}");
    let pull = "/v1.41/images/create?fromImage=nginx&tag=1&platform=linux/arm/v6";
    let (status, answer) = manager.post(pull, &Value::Null).await;
    assert!(status == 200 && !answer.contains("errorDetail"), "{answer}");
    let pulled: Vec<bool> = engines.iter().map(|e| has(e, "nginx:1")).collect();
    assert_eq!(pulled, [true, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_examined_once_and_only_among_unlike_nodes() {
    let engines = engines().await;
    build(&engines[0], "app:1", "arm64");
    let manager = Manager::of(&engines).await;
    for _ in 0..3 {
        assert_eq!(manager.create("", of("app:1")).await.0, 201);
    }
    assert_eq!(engines[0].calls(EXAMINED), 1, "{:?}", engines[0].recent_calls());
    drop(manager);
    let manager = Manager::of(&engines[1..2]).await;
    assert_eq!(manager.create("", of("busybox")).await.0, 201);
    assert_eq!(engines[1].calls(EXAMINED), 0, "{:?}", engines[1].recent_calls());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_breaks_off_is_replaced_by_another() {
    let engines = alike().await;
    for engine in &engines[..2] {
        build(engine, "app:1", "amd64");
    }
    let manager = Manager::of(&engines).await;
    // Whichever is asked first breaks off once.
    for engine in &engines[..2] {
        engine.fault(Fault::on("GET /images/get", Kind::Reset { after: 5 }).times(1)).await;
    }
    let (status, answer) = manager.create("", on("app:1", "c")).await;
    assert_eq!(status, 500, "{answer}");
    for text in ["cannot copy app:1 from ", " to c: the image from ", " broke off", "; pull: "] {
        assert!(answer.contains(text), "{text} in {answer}");
    }
    engines[0].fault(Fault::on("GET /images/get", Kind::Reset { after: 5 })).await;
    let (status, answer) = manager.create("", on("app:1", "c")).await;
    assert_eq!(status, 201, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_refuses_ends_the_attempt_and_the_image_runs_where_it_is() {
    let engines = alike().await;
    build(&engines[0], "app:1", "amd64");
    let manager = Manager::of(&engines).await;
    let full = || Kind::Error { status: 500, message: "no space left on device".into() };
    for engine in &engines[1..] {
        engine.fault(Fault::on("POST /images/load", full())).await;
    }
    let (status, answer) = manager.create("", on("app:1", "b")).await;
    assert_eq!(status, 500, "{answer}");
    assert!(answer.contains("cannot copy app:1 from a to b: no space left on device"), "{answer}");
    for _ in 0..3 {
        let (status, answer) = manager.create("", of("app:1")).await;
        assert_eq!(status, 201, "{answer}");
    }
    assert_eq!(counts(&engines), [3, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_creates_at_once_copy_once_to_each_node() {
    let engines = alike().await;
    build(&engines[0], "app:1", "amd64");
    let manager = Manager::of(&engines).await;
    // Slow enough that all creates meet the copy under way.
    engines[0].fault(Fault::on("GET /images/get", Kind::Trickle { bytes: 64, ms: 50 })).await;
    let creates = (0..30).map(|_| manager.create("", of("app:1")));
    for (status, answer) in futures_util::future::join_all(creates).await {
        assert_eq!(status, 201, "{answer}");
    }
    assert_eq!(counts(&engines), [10, 10, 10]);
    assert_eq!(engines[0].calls("GET /images/get"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_nowhere_is_missed_in_the_engines_words() {
    let engines = alike().await;
    let manager = Manager::of(&engines).await;
    let (status, answer) = manager.create("", of("docker.io/team/nothing")).await;
    assert_eq!((status, answer.trim()), (404, r#"{"message":"No such image: team/nothing:latest"}"#));
    assert_eq!(counts(&engines), [0, 0, 0]);
}
