//! The control path `/_sim/`: faults, hooks, and what was called. It answers whatever fault is in force, but
//! not on a listener that a fault closed: then ask another engine of the process, naming this one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fault::{Fault, Kind};
use super::query::Query;
use super::reply::{Fail, Outcome, Reply, fail, json_ok};
use super::state::Engine;
use super::{images, lifecycle, preload, server};

/// Engines and the addresses to open again.
type Fleet = Mutex<Vec<(Weak<Engine>, SocketAddr)>>;

/// All engines of this process, so that one can be told about another.
fn fleet() -> &'static Fleet {
    static FLEET: OnceLock<Fleet> = OnceLock::new();
    FLEET.get_or_init(Mutex::default)
}

/// Makes an engine known to the others, with the address to open again.
pub fn enlist(engine: &Arc<Engine>, address: SocketAddr) {
    let mut fleet = fleet().lock().unwrap_or_else(PoisonError::into_inner);
    fleet.retain(|(e, _)| e.strong_count() > 0);
    fleet.push((Arc::downgrade(engine), address));
}

/// The engines meant: by name, all for `*`, the asked one if none is named.
fn meant(asked: &Arc<Engine>, address: SocketAddr, name: Option<&str>) -> Vec<(Arc<Engine>, SocketAddr)> {
    let Some(name) = name else {
        return vec![(asked.clone(), address)];
    };
    let fleet = fleet().lock().unwrap_or_else(PoisonError::into_inner);
    let known = fleet.iter().filter_map(|(e, a)| Some((e.upgrade()?, *a)));
    known.filter(|(e, _)| name == "*" || e.profile.name == name).collect()
}

/// Answers a control request.
pub async fn answer(
    engine: &Arc<Engine>,
    method: &Method,
    path: &str,
    query: &Query,
    body: &[u8],
    address: SocketAddr,
) -> Reply {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let name = body["engine"].as_str().or(query.get("engine"));
    let engines = meant(engine, address, name);
    let outcome = match (method.as_str(), path) {
        _ if engines.is_empty() => fail(404, format!("no engine {}", name.unwrap_or(""))),
        ("POST", "/_sim/fault") => set_faults(&engines, &body).await,
        ("POST", "/_sim/hook") => hook(&engines, &body),
        ("GET", "/_sim/calls") => calls(&engines),
        ("DELETE", "/_sim/calls") => {
            engines.iter().for_each(|(e, _)| e.forget_calls());
            json_ok(&json!({}))
        }
        ("GET", "/_sim/state") => {
            let faults = engines.iter().map(|(e, a)| {
                let state = e.state();
                json!({
                    "engine": e.profile.name, "address": a.to_string(), "id": state.id, "faults": state.faults,
                    "containers": state.containers.len(), "connections": state.connections, "open": state.open,
                })
            });
            json_ok(&Value::Array(faults.collect()))
        }
        _ => fail(404, "GET /_sim/calls|state, DELETE /_sim/calls, POST /_sim/fault|hook"),
    };
    outcome.unwrap_or_else(|f: Fail| f.reply())
}

async fn set_faults(engines: &[(Arc<Engine>, SocketAddr)], body: &Value) -> Outcome {
    let fault = Fault::deserialize(body).map_err(|e| Fail { status: 400, message: e.to_string() })?;
    for (engine, address) in engines {
        if let Err(e) = apply(engine, &fault, *address).await {
            return fail(500, format!("{}: {e}", engine.profile.name));
        }
    }
    json_ok(&json!({"engines": engines.len()}))
}

/// Puts a fault into force. Those of single requests wait in the list; the others act at once.
pub async fn apply(engine: &Arc<Engine>, fault: &Fault, address: SocketAddr) -> std::io::Result<()> {
    match &fault.kind {
        Kind::Clear => {
            let mut state = engine.state();
            state.faults.clear();
            state.muted = false;
            state.skew = 0;
        }
        Kind::EndEvents => engine.state().cuts += 1,
        Kind::MuteEvents => engine.state().muted = true,
        Kind::ClockSkew { seconds } => engine.state().skew = *seconds,
        Kind::ChangeId { id } => engine.state().id.clone_from(id),
        Kind::Refuse => {
            let life = engine.life();
            // The answer to whoever asked leaves first.
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                life.cancel();
            });
        }
        Kind::Listen => {
            engine.life().cancel();
            server::relisten(engine, address).await?;
        }
        _ => engine.state().faults.push(fault.clone()),
    }
    engine.bump();
    Ok(())
}

fn calls(engines: &[(Arc<Engine>, SocketAddr)]) -> Outcome {
    let each = engines.iter().map(|(engine, _)| {
        let state = engine.state();
        json!({"engine": engine.profile.name, "counts": state.counts, "recent": state.calls, "connections": state.connections})
    });
    json_ok(&Value::Array(each.collect()))
}

/// What happens on an engine without a client's doing.
#[derive(Debug, Deserialize)]
#[serde(tag = "hook", rename_all = "kebab-case")]
enum Hook {
    /// A container ends.
    Exit {
        container: String,
        #[serde(default)]
        code: i64,
        #[serde(default)]
        oom: bool,
    },
    /// A container's health changes.
    Health { container: String, status: String },
    /// A container prints.
    Print { container: String, text: String },
    /// More containers run.
    Run {
        count: usize,
        #[serde(default)]
        prefix: String,
    },
    /// An image is there.
    Image { name: String },
    /// An event without anything behind it.
    Event { action: String, container: String },
}

fn hook(engines: &[(Arc<Engine>, SocketAddr)], body: &Value) -> Outcome {
    for (engine, _) in engines {
        let hook = Hook::deserialize(body).map_err(|e| Fail { status: 400, message: e.to_string() })?;
        act(engine, hook)?;
        engine.bump();
    }
    json_ok(&json!({"engines": engines.len()}))
}

fn act(engine: &Arc<Engine>, hook: Hook) -> Result<(), Fail> {
    match hook {
        Hook::Exit { container, code, oom } => {
            let id = {
                let mut state = engine.state();
                let position = state.position(&container)?;
                state.containers[position].oom = oom;
                if oom {
                    state.container_event(position, "oom", &[]);
                }
                state.containers[position].id.clone()
            };
            lifecycle::exit(engine, &id, code);
        }
        Hook::Health { container, status } => {
            let mut state = engine.state();
            let position = state.position(&container)?;
            state.containers[position].health.clone_from(&status);
            state.container_event(position, &format!("health_status: {status}"), &[]);
        }
        Hook::Print { container, text } => {
            let output = engine.state().container(&container)?.output.clone();
            tokio::spawn(async move { output.send(super::output::STDOUT, text.into()).await });
        }
        Hook::Run { count, prefix } => {
            preload::run(engine, count, if prefix.is_empty() { "more" } else { &prefix });
        }
        Hook::Image { name } => engine.state().add_image(images::named(&name, &engine.profile.architecture)),
        Hook::Event { action, container } => {
            let mut state = engine.state();
            let position = state.position(&container)?;
            state.container_event(position, &action, &[]);
        }
    }
    Ok(())
}
