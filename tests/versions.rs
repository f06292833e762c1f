//! Old clients and new engines: swarmd in front of simulated engines whose oldest API version is newer than what
//! the client speaks.

#![allow(clippy::unwrap_used, reason = "a test: clippy only sees that of functions marked so")]

mod sim;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sim::{Profile, Release, SimEngine};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A manager over some engines; gone with this value.
struct Manager {
    addr: String,
    process: Child,
    _state: tempfile::TempDir,
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Manager {
    async fn over(engines: &[&SimEngine]) -> Manager {
        // Free a moment ago: the manager's own bind tells if somebody was faster.
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let state = tempfile::tempdir().unwrap();
        let nodes: Vec<String> = engines.iter().map(|e| e.addr.to_string()).collect();
        let process = Command::new(env!("CARGO_BIN_EXE_swarmd"))
            .args(["manage", &format!("--host={addr}"), &format!("nodes://{}", nodes.join(","))])
            .env("STATE_DIRECTORY", state.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let manager = Manager { addr, process, _state: state };
        let healthy = |info: &Value| info.to_string().matches("\"Healthy\"").count();
        while manager.get("/info").await.map(|info| healthy(&info)) != Some(engines.len()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        manager
    }

    /// Status, head and body.
    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, String, Value)> {
        let mut stream = TcpStream::connect(&self.addr).await.ok()?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let body = match head.to_lowercase().contains("transfer-encoding: chunked") {
            true => unchunked(body),
            false => body.to_string(),
        };
        let value = serde_json::from_str(&body).unwrap_or(Value::String(body));
        Some((status, head.to_lowercase(), value))
    }

    async fn get(&self, path: &str) -> Option<Value> {
        self.call("GET", path, None).await.map(|(_, _, body)| body)
    }

    async fn ok(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, _, answer) = self.call(method, path, body).await.unwrap();
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

/// The API versions that an engine was asked in.
fn versions(engine: &SimEngine) -> Vec<u32> {
    let calls = engine.recent_calls();
    let minor = |path: &str| path.strip_prefix("/v1.")?.split('/').next()?.parse().ok();
    calls.iter().filter_map(|c| minor(&c.path)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_1_24_works_with_an_engine_that_begins_at_1_44() {
    let engine = SimEngine::start(Profile::named("new").release(Release::V29_0)).await.unwrap();
    let manager = Manager::over(&[&engine]).await;
    let (_, head, _) = manager.call("GET", "/_ping", None).await.unwrap();
    assert!(head.contains("api-version: 1.51"), "{head}");
    assert_eq!(manager.get("/version").await.unwrap()["MinAPIVersion"], "1.24");

    let body = json!({"Image": "busybox", "Cmd": ["sleep", "infinity"]});
    let made = manager.ok("POST", "/v1.24/containers/create?name=web", Some(&body)).await;
    assert!(made["Id"].is_string());
    manager.ok("POST", "/v1.24/containers/web/start", None).await;
    let inspected = manager.ok("GET", "/v1.24/containers/web/json", None).await;
    assert_eq!(inspected["HostConfig"]["IpcMode"], "shareable");
    assert_eq!(inspected["HostConfig"]["CgroupnsMode"], "host");
    assert_eq!(inspected["Node"]["Name"], "new");
    assert_eq!(manager.ok("GET", "/v1.24/containers/json", None).await[0]["State"], "running");

    let image = manager.ok("GET", "/v1.24/images/busybox/json", None).await;
    assert_eq!(image["VirtualSize"], image["Size"]);
    assert!(image["ContainerConfig"].is_object());
    let listed = manager.ok("GET", "/v1.24/images/json?filter=busybox", None).await;
    assert_eq!(listed[0]["VirtualSize"], listed[0]["Size"]);

    manager.ok("POST", "/v1.24/volumes/create", Some(&json!({"Name": "data"}))).await;
    let pruned = manager.ok("POST", "/v1.25/volumes/prune", None).await;
    assert_eq!(pruned["VolumesDeleted"], json!(["new/data"]));
    manager.ok("POST", "/v1.24/volumes/create", Some(&json!({"Name": "data"}))).await;
    let pruned = manager.ok("POST", "/v1.42/volumes/prune", None).await;
    assert_eq!(pruned["VolumesDeleted"], Value::Null);

    let (status, _, refused) = manager.call("GET", "/v1.24/containers/web/attach/ws", None).await.unwrap();
    assert_eq!(status, 400);
    assert!(refused["message"].as_str().unwrap().contains("1.28"), "{refused}");
    manager.ok("POST", "/v1.24/containers/web/kill", None).await;
    manager.ok("DELETE", "/v1.24/containers/web", None).await;
    assert!(versions(&engine).iter().all(|v| (44..=52).contains(v)), "{:?}", versions(&engine));
    assert!(versions(&engine).contains(&44));
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_without_a_common_version_are_one_cluster() {
    let old = SimEngine::start(Profile::named("old").release(Release::V20_10)).await.unwrap();
    let new = SimEngine::start(Profile::named("new").release(Release::V29_0)).await.unwrap();
    let manager = Manager::over(&[&old, &new]).await;
    let (_, head, _) = manager.call("GET", "/_ping", None).await.unwrap();
    assert!(head.contains("api-version: 1.41"), "{head}");
    for (node, name) in [("old", "one"), ("new", "two")] {
        let body = json!({"Image": "busybox", "Env": [format!("constraint:node=={node}")]});
        manager.ok("POST", &format!("/v1.41/containers/create?name={name}"), Some(&body)).await;
        manager.ok("GET", &format!("/v1.41/containers/{name}/json"), None).await;
    }
    assert_eq!(manager.ok("GET", "/v1.41/containers/json?all=1", None).await.as_array().unwrap().len(), 2);
    let usage = manager.ok("GET", "/v1.41/system/df", None).await;
    assert_eq!(usage["Containers"].as_array().unwrap().len(), 2);
    assert!(versions(&old).iter().all(|v| *v <= 41), "{:?}", versions(&old));
    assert!(versions(&new).iter().all(|v| (44..=52).contains(v)), "{:?}", versions(&new));
    for (version, text) in [("1.42", "too new. Maximum supported API version is 1.41"), ("1.23", "too old")] {
        let (status, _, refused) = manager.call("GET", &format!("/v{version}/info"), None).await.unwrap();
        assert_eq!(status, 400);
        // Below 1.24 errors are plain text.
        let said = if version == "1.23" { refused.as_str() } else { refused["message"].as_str() };
        assert!(said.unwrap().contains(text), "{refused}");
    }
}
