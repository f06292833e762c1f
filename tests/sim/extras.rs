//! The rest of what can be done with a container: top, stats, changes, update, resize, export, archive.

use std::sync::Arc;
use std::time::Duration;

use base64::encode;
use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::clock::rfc3339;
use super::query::Query;
use super::reply::{Fail, Outcome, fail, full, json_ok, status, stream, typed, with};
use super::state::{Engine, State};

fn running<'a>(state: &'a State, wanted: &str) -> Result<&'a super::container::Container, Fail> {
    let container = state.container(wanted)?;
    match container.running() {
        true => Ok(container),
        false => fail(409, format!("container {} is not running", container.id)),
    }
}

/// `GET /containers/{id}/top`.
pub fn top(engine: &Engine, wanted: &str) -> Outcome {
    let state = engine.state();
    let container = running(&state, wanted)?;
    json_ok(&json!({
        "Titles": ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
        "Processes": [["root", container.pid.to_string(), "1", "0", "00:00", "?", "00:00:00", container.argv.join(" ")]],
    }))
}

/// `GET /containers/{id}/changes`.
pub fn changes(engine: &Engine, wanted: &str) -> Outcome {
    let state = engine.state();
    let id = &state.container(wanted)?.id;
    let paths =
        state.files.keys().filter(|(owner, _)| owner == id).map(|(_, path)| json!({"Path": path, "Kind": 1}));
    let paths: Vec<Value> = paths.collect();
    json_ok(&if paths.is_empty() { Value::Null } else { Value::Array(paths) })
}

/// `POST /containers/{id}/update`.
pub fn update(engine: &Arc<Engine>, wanted: &str, body: &[u8]) -> Outcome {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
        return fail(400, "invalid JSON: got EOF while reading request body");
    };
    let mut state = engine.state();
    let position = state.position(wanted)?;
    for (key, value) in fields.into_iter().filter(|(_, v)| !v.is_null() && *v != json!(0) && *v != json!(""))
    {
        state.containers[position].host.insert(key, value);
    }
    state.container_event(position, "update", &[]);
    drop(state);
    engine.bump();
    json_ok(&json!({"Warnings": []}))
}

/// `POST /containers/{id}/resize`.
pub fn resize(engine: &Arc<Engine>, wanted: &str, query: &Query) -> Outcome {
    let side = |key: &str| query.get(key).and_then(|n| n.parse::<u32>().ok());
    let (Some(rows), Some(columns)) = (side("h"), side("w")) else {
        return fail(400, "strconv.Atoi: parsing \"\": invalid syntax");
    };
    let mut state = engine.state();
    let position = state.position(wanted)?;
    let id = running(&state, wanted)?.id.clone();
    state.container_mut(&id)?.size = (rows, columns);
    state.container_event(
        position,
        "resize",
        &[("height", rows.to_string()), ("width", columns.to_string())],
    );
    drop(state);
    engine.bump();
    Ok(status(200))
}

fn sample(engine: &Engine, id: &str) -> Option<Value> {
    let now = engine.now();
    let state = engine.state();
    let container = state.containers.iter().find(|c| c.id == id)?;
    let cpu = json!({
        "cpu_usage": {"total_usage": 51_515_151, "usage_in_kernelmode": 0, "usage_in_usermode": 51_515_151},
        "system_cpu_usage": now, "online_cpus": engine.profile.ncpu,
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    });
    Some(json!({
        "read": rfc3339(now), "preread": rfc3339(0), "num_procs": 0, "name": format!("/{}", container.name), "id": id,
        "pids_stats": {"current": 1, "limit": 4096}, "cpu_stats": cpu, "precpu_stats": cpu,
        "memory_stats": {"usage": 1 << 20, "limit": engine.profile.mem_total, "stats": {"inactive_file": 0}},
        "networks": {"eth0": {"rx_bytes": 0, "tx_bytes": 0}}, "storage_stats": {},
        "blkio_stats": {"io_service_bytes_recursive": null},
    }))
}

/// `GET /containers/{id}/stats`, each second or once.
pub fn stats(engine: &Arc<Engine>, wanted: &str, query: &Query) -> Outcome {
    let id = engine.state().container(wanted)?.id.clone();
    let forever = query.flag_or_true("stream");
    let (mut sender, reply) = stream("application/json");
    let engine = engine.clone();
    tokio::spawn(async move {
        let life = engine.life();
        while let Some(sample) = sample(&engine, &id) {
            if sender.send_data(format!("{sample}\n").into()).await.is_err() || !forever {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = life.cancelled() => return,
            }
        }
    });
    Ok(reply)
}

/// `GET /containers/{id}/export`: as many MiB as the profile says, counting bytes.
pub fn export(engine: &Arc<Engine>, wanted: &str) -> Outcome {
    engine.state().container(wanted)?;
    let (mut sender, reply) = stream("application/octet-stream");
    let pieces = engine.profile.export_mib * 16;
    let piece = Bytes::from((0..64 << 10).map(|i: u32| i.to_le_bytes()[0]).collect::<Vec<u8>>());
    tokio::spawn(async move {
        for _ in 0..pieces {
            if sender.send_data(piece.clone()).await.is_err() {
                return;
            }
        }
    });
    Ok(reply)
}

fn path_of(query: &Query) -> Result<&str, Fail> {
    match query.get("path") {
        Some(path) => Ok(path.trim_end_matches('/')),
        None => fail(400, "bad parameter: path cannot be empty"),
    }
}

/// `HEAD` and `GET /containers/{id}/archive`: what was put there; common directories exist and are empty.
pub fn archive_get(engine: &Engine, wanted: &str, query: &Query, head: bool) -> Outcome {
    let path = path_of(query)?;
    let state = engine.state();
    let id = state.container(wanted)?.id.clone();
    let stored = state.files.get(&(id, path.to_string())).cloned();
    let directory = matches!(path, "" | "/tmp" | "/etc" | "/root" | "/home" | "/var" | "/bin" | "/data");
    if stored.is_none() && !directory {
        return fail(404, format!("Could not find the file {path} in container {wanted}"));
    }
    let name = path.rsplit('/').next().unwrap_or("");
    let mode: u32 = if directory { (1 << 31) | 0o755 } else { 0o644 };
    let stat = json!({
        "name": if name.is_empty() { "/" } else { name }, "size": stored.as_ref().map_or(4096, Bytes::len), "mode": mode,
        "mtime": "2025-01-01T00:00:00Z", "linkTarget": "",
    });
    // An archive without members is two empty blocks.
    let content = stored.unwrap_or_else(|| Bytes::from_static(&[0; 1024]));
    let mut reply = typed(with(200, full(if head { Bytes::new() } else { content })), "application/x-tar");
    if let Ok(value) = HeaderValue::from_str(&encode(stat.to_string().as_bytes())) {
        reply.headers_mut().insert(HeaderName::from_static("x-docker-container-path-stat"), value);
    }
    Ok(reply)
}

/// `PUT /containers/{id}/archive`: keeps the tar as it came, under the path that it was put to.
pub fn archive_put(engine: &Engine, wanted: &str, query: &Query, body: Bytes) -> Outcome {
    let path = path_of(query)?.to_string();
    let mut state = engine.state();
    let id = state.container(wanted)?.id.clone();
    state.files.insert((id, path), body);
    Ok(status(200))
}

/// Base64 in the one place that needs it.
mod base64 {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    /// Standard alphabet, padded.
    pub fn encode(bytes: &[u8]) -> String {
        let mut text = String::new();
        for three in bytes.chunks(3) {
            let at = |i: usize| u32::from(*three.get(i).unwrap_or(&0));
            let bits = at(0) << 16 | at(1) << 8 | at(2);
            for i in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * i)) as usize & 63];
                text.push(if i <= three.len() { char::from(letter) } else { '=' });
            }
        }
        text
    }
}
