//! Ping, version, info, disk usage, auth. Headers common to all answers are `server`'s.

use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};
use serde_json::{Value, json};

use super::clock::rfc3339;
use super::profile::Release;
use super::reply::{Outcome, fail, full, json_ok, typed, with};
use super::state::Engine;

/// The rows of `info` that never change.
const INFO_DEFAULTS: &str = include_str!("info-defaults.json");
const KERNEL: &str = "6.1.0-sim-amd64";

/// `GET` and `HEAD /_ping`.
pub fn ping(engine: &Engine, head: bool) -> Outcome {
    let mut reply = typed(with(200, full(if head { "" } else { "OK" })), "text/plain; charset=utf-8");
    let builder = if engine.profile.release == Release::V20_10 { "1" } else { "2" };
    let headers = reply.headers_mut();
    headers.insert(HeaderName::from_static("builder-version"), HeaderValue::from_static(builder));
    headers.insert(HeaderName::from_static("swarm"), HeaderValue::from_static("inactive"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(reply)
}

/// `GET /version`.
pub fn version(engine: &Engine) -> Outcome {
    let release = engine.profile.release;
    let (newest, oldest) = release.api();
    let (newest, oldest) = (format!("1.{newest}"), format!("1.{oldest}"));
    let arch = engine.profile.architecture.split('/').next();
    json_ok(&json!({
        "Platform": {"Name": "Docker Engine - Simulated"},
        "Components": [{
            "Name": "Engine", "Version": release.version(),
            "Details": {
                "ApiVersion": newest, "Arch": arch, "BuildTime": "2025-01-01T00:00:00.000000000+00:00",
                "Experimental": "false", "GitCommit": "5151515", "GoVersion": "go1.24.9", "KernelVersion": KERNEL,
                "MinAPIVersion": oldest, "Os": "linux",
            },
        }],
        "Version": release.version(), "ApiVersion": newest, "MinAPIVersion": oldest, "GitCommit": "5151515",
        "GoVersion": "go1.24.9", "Os": "linux", "Arch": arch, "KernelVersion": KERNEL,
        "BuildTime": "2025-01-01T00:00:00.000000000+00:00",
    }))
}

/// `GET /info`.
pub fn info(engine: &Engine) -> Outcome {
    let now = engine.now();
    let profile = &engine.profile;
    let state = engine.state();
    let count = |status: &str| state.containers.iter().filter(|c| c.status == status).count();
    let (running, paused) = (count("running"), count("paused"));
    let labels: Vec<String> = profile.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mut info: Value = serde_json::from_str(INFO_DEFAULTS).unwrap_or_default();
    let facts = json!({
        "ID": state.id, "Name": profile.name, "Labels": labels, "NCPU": profile.ncpu, "MemTotal": profile.mem_total,
        "Containers": state.containers.len(), "ContainersRunning": running, "ContainersPaused": paused,
        "ContainersStopped": state.containers.len() - running - paused, "Images": state.images.len(),
        "SystemTime": rfc3339(now), "ServerVersion": profile.release.version(), "KernelVersion": KERNEL,
        "Architecture": profile.machine(), "NEventsListener": engine.changes.receiver_count(),
    });
    for (key, value) in facts.as_object().into_iter().flatten() {
        info[key.as_str()] = value.clone();
    }
    json_ok(&info)
}

/// `GET /system/df`.
pub fn df(engine: &Engine, api: u32) -> Outcome {
    let now = engine.now();
    let state = engine.state();
    let containers: Vec<Value> = state.containers.iter().map(|c| c.entry(now, api, true)).collect();
    let volumes: Vec<Value> = (state.volumes.values().cloned())
        .map(|mut v| {
            v["UsageData"] = json!({"RefCount": 0, "Size": 0});
            v
        })
        .collect();
    let images: Vec<Value> = (state.images.iter())
        .map(|i| {
            let users = state.containers.iter().filter(|c| c.image_id == i.id).count();
            json!({
                "Containers": users, "Created": i.created / 1_000_000_000, "Id": i.id, "Labels": i.labels, "ParentId": "",
                "RepoDigests": i.digests, "RepoTags": i.tags, "SharedSize": 0, "Size": 4_261_550,
            })
        })
        .collect();
    json_ok(&json!({
        "LayersSize": 4_261_550 * images.len(), "Images": images, "Containers": containers, "Volumes": volumes,
        "BuildCache": [],
    }))
}

/// `POST /auth`: the password `wrong` is wrong.
pub fn auth(body: &[u8]) -> Outcome {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    match body["password"] == "wrong" {
        true => fail(401, "unauthorized: incorrect username or password"),
        false => json_ok(&json!({"IdentityToken": "", "Status": "Login Succeeded"})),
    }
}
