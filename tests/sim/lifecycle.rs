//! The life of containers: start, end, stop, kill, pause, restart, rename, remove, wait. *Not* their streams.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::container::Port;
use super::create::check_name;
use super::program;
use super::query::Query;
use super::reply::{Fail, Outcome, fail, status, stream};
use super::state::{Engine, State};

/// `POST /containers/{id}/start`.
pub fn start(engine: &Arc<Engine>, wanted: &str) -> Outcome {
    let now = engine.now();
    let mut state = engine.state();
    let position = state.position(wanted)?;
    match state.containers[position].status {
        "paused" => return fail(409, "cannot start a paused container, try unpause instead"),
        _ if state.containers[position].running() => return Ok(status(304)),
        _ => {}
    }
    if let Err(failed) = prepare(engine, &mut state, position) {
        let container = &mut state.containers[position];
        container.error = failed.message.clone();
        container.exit_code = 128;
        return Err(failed);
    }
    let pid = 1000 + state.next_serial();
    let container = &mut state.containers[position];
    container.status = "running";
    container.started = now;
    container.exit_code = 0;
    container.error = String::new();
    container.oom = false;
    container.pid = pid;
    container.run = CancellationToken::new();
    let steps = program::steps(&container.argv);
    let (id, output, run) = (container.id.clone(), container.output.clone(), container.run.clone());
    let stdin = container.flag("OpenStdin").then(|| output.take_stdin()).flatten();
    state.network_events(position, "connect");
    state.container_event(position, "start", &[]);
    drop(state);
    engine.bump();
    if !program::idle(&steps) {
        let engine = engine.clone();
        tokio::spawn(async move {
            let life = program::run(steps, stdin, &output);
            if let Some(code) = run.run_until_cancelled(life).await {
                exit(&engine, &id, code);
            }
        });
    }
    Ok(status(204))
}

/// Networks and ports of a container that starts: all or nothing.
fn prepare(engine: &Engine, state: &mut State, position: usize) -> Result<(), Fail> {
    let fresh = engine.profile.release.api().0 >= 47;
    let prefix = if fresh { "failed to set up container networking: " } else { "" };
    let container = &state.containers[position];
    for network in container.endpoints.keys() {
        if state.network(network).is_err() {
            return fail(404, format!("{prefix}network {network} not found"));
        }
    }
    let ports = match publish(state, position) {
        Ok(ports) => ports,
        Err(why) => {
            let container = &state.containers[position];
            return fail(
                500,
                format!(
                    "{prefix}driver failed programming external connectivity on endpoint {} ({}): {why}",
                    container.name, container.id
                ),
            );
        }
    };
    state.containers[position].ports = ports;
    state.join_networks(position);
    Ok(())
}

fn publish(state: &mut State, position: usize) -> Result<Vec<Port>, String> {
    let container = &state.containers[position];
    let mut wanted: Vec<Port> = Vec::new();
    let bindings = container.host.get("PortBindings").and_then(Value::as_object);
    for (key, hosts) in bindings.into_iter().flatten() {
        let Some((private, proto)) = super::container::split_port(key) else {
            continue;
        };
        for host in hosts.as_array().into_iter().flatten() {
            let public = host["HostPort"].as_str().unwrap_or("");
            let public = public.split('-').next().and_then(|p| p.parse().ok()).unwrap_or(0);
            let ip = match host["HostIp"].as_str().unwrap_or("") {
                "0.0.0.0" => "",
                ip => ip,
            };
            wanted.push(Port { private, proto: proto.clone(), ip: ip.to_string(), public });
        }
    }
    if container.host.get("PublishAllPorts") == Some(&Value::Bool(true)) {
        for exposed in container.exposed() {
            let Some((private, proto)) = super::container::split_port(&exposed) else {
                continue;
            };
            if !wanted.iter().any(|p| p.private == private && p.proto == proto) {
                wanted.push(Port { private, proto, ip: String::new(), public: 0 });
            }
        }
    }
    let mut taken: Vec<Port> = state.containers.iter().flat_map(|c| c.ports.clone()).collect();
    let clash = |taken: &[Port], p: &Port| {
        taken.iter().any(|t| {
            t.public == p.public && t.proto == p.proto && (t.ip == p.ip || t.ip.is_empty() || p.ip.is_empty())
        })
    };
    for port in &mut wanted {
        if port.public == 0 {
            port.public = 32768;
            while clash(&taken, port) {
                port.public += 1;
            }
        } else if clash(&taken, port) {
            let ip = if port.ip.is_empty() { "0.0.0.0" } else { &port.ip };
            return Err(format!("Bind for {ip}:{} failed: port is already allocated", port.public));
        }
        taken.push(port.clone());
    }
    Ok(wanted)
}

/// The process ended with a code: what follows from it, removal and restart included.
pub fn exit(engine: &Arc<Engine>, id: &str, code: i64) {
    let mut state = engine.state();
    let Some(policy) = end(engine, &mut state, id, code) else {
        return;
    };
    drop(state);
    engine.bump();
    if policy {
        let (engine, id) = (engine.clone(), id.to_string());
        // Engines wait 100 ms before the first restart.
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if let Ok(container) = engine.state().container_mut(&id) {
                container.restarts += 1;
            }
            let _ = start(&engine, &id);
        });
    }
}

/// Ends a run within the lock. `None`: there is none. `Some(true)`: the policy wants a restart.
fn end(engine: &Engine, state: &mut State, id: &str, code: i64) -> Option<bool> {
    let now = super::clock::now(state.skew);
    let position = state.containers.iter().position(|c| c.id == id && c.running())?;
    let container = &mut state.containers[position];
    container.run.cancel();
    container.status = "exited";
    container.exit_code = code;
    container.finished = now;
    container.exits += 1;
    container.pid = 0;
    container.ports.clear();
    container.output.end();
    let name = container.host.get("RestartPolicy").and_then(|p| p["Name"].as_str()).unwrap_or("").to_string();
    let remove = container.host.get("AutoRemove") == Some(&Value::Bool(true));
    state.container_event(position, "die", &[("exitCode", code.to_string())]);
    state.network_events(position, "disconnect");
    state.leave_networks(position);
    if remove {
        delete(engine, state, position);
        return Some(false);
    }
    Some(name == "always" || name == "unless-stopped" || (name == "on-failure" && code != 0))
}

fn delete(_engine: &Engine, state: &mut State, position: usize) {
    state.container_event(position, "destroy", &[]);
    let container = state.containers.remove(position);
    container.output.end();
    state.files.retain(|(id, _), _| *id != container.id);
    state.execs.retain(|_, e| e.container != container.id);
    if state.graves.len() == 256 {
        state.graves.pop_front();
    }
    state.graves.push_back((container.id, container.exit_code));
}

/// `POST /containers/{id}/stop`: as if the grace period were over at once; a latency fault makes it longer.
pub fn stop(engine: &Arc<Engine>, wanted: &str, query: &Query) -> Outcome {
    let mut state = engine.state();
    let position = state.position(wanted)?;
    if !state.containers[position].running() {
        return Ok(status(304));
    }
    halt(engine, &mut state, position, query);
    drop(state);
    engine.bump();
    Ok(status(204))
}

fn halt(engine: &Engine, state: &mut State, position: usize, query: &Query) {
    let signal = signal_number(query.get("signal").unwrap_or("SIGTERM")).unwrap_or(15);
    let id = state.containers[position].id.clone();
    state.container_event(position, "kill", &[("signal", signal.to_string())]);
    if signal != 9 {
        state.container_event(position, "kill", &[("signal", "9".to_string())]);
    }
    end(engine, state, &id, 137);
    if let Some(position) = state.containers.iter().position(|c| c.id == id) {
        state.container_event(position, "stop", &[]);
    }
}

/// `POST /containers/{id}/restart`.
pub fn restart(engine: &Arc<Engine>, wanted: &str, query: &Query) -> Outcome {
    let mut state = engine.state();
    let position = state.position(wanted)?;
    let id = state.containers[position].id.clone();
    if state.containers[position].running() {
        halt(engine, &mut state, position, query);
    }
    drop(state);
    start(engine, &id)?;
    let mut state = engine.state();
    let position = state.position(&id)?;
    state.container_event(position, "restart", &[]);
    drop(state);
    engine.bump();
    Ok(status(204))
}

/// `POST /containers/{id}/kill`.
pub fn kill(engine: &Arc<Engine>, wanted: &str, query: &Query) -> Outcome {
    let text = query.get("signal").unwrap_or("SIGKILL");
    let Some(signal) = signal_number(text) else {
        return fail(400, format!("invalid signal: {text}"));
    };
    let mut state = engine.state();
    let position = state.position(wanted)?;
    let container = &state.containers[position];
    let id = container.id.clone();
    if !container.running() {
        return fail(409, format!("cannot kill container: {wanted}: container {id} is not running"));
    }
    state.container_event(position, "kill", &[("signal", signal.to_string())]);
    if matches!(signal, 2 | 3 | 6 | 9 | 15) {
        end(engine, &mut state, &id, 128 + i64::from(signal));
    }
    drop(state);
    engine.bump();
    Ok(status(204))
}

fn signal_number(text: &str) -> Option<u8> {
    let upper = text.to_ascii_uppercase();
    let names = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", 15),
        ("CONT", 18),
        ("STOP", 19),
        ("WINCH", 28),
    ];
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let by_number = upper.parse().ok().filter(|n| (1..65).contains(n));
    names.iter().find(|(n, _)| *n == name).map(|(_, number)| *number).or(by_number)
}

/// `POST /containers/{id}/pause` and `unpause`.
pub fn pause(engine: &Arc<Engine>, wanted: &str, on: bool) -> Outcome {
    let mut state = engine.state();
    let position = state.position(wanted)?;
    let container = &mut state.containers[position];
    let id = container.id.clone();
    match (container.status, on) {
        ("running", true) => container.status = "paused",
        ("paused", false) => container.status = "running",
        ("paused", true) => return fail(409, format!("Container {id} is already paused")),
        (_, true) => return fail(409, format!("Container {id} is not running")),
        _ => return fail(500, format!("Container {id} is not paused")),
    }
    state.container_event(position, if on { "pause" } else { "unpause" }, &[]);
    drop(state);
    engine.bump();
    Ok(status(204))
}

/// `POST /containers/{id}/rename`.
pub fn rename(engine: &Arc<Engine>, wanted: &str, query: &Query) -> Outcome {
    let mut state = engine.state();
    let position = state.position(wanted)?;
    let Some(name) = query.get("name").map(|n| n.strip_prefix('/').unwrap_or(n).to_string()) else {
        return fail(400, "Neither old nor new names may be empty");
    };
    if state.containers[position].name == name {
        return fail(400, "Renaming a container with the same name as its current name");
    }
    check_name(&state, &name)?;
    let old = std::mem::replace(&mut state.containers[position].name, name);
    state.container_event(position, "rename", &[("oldName", format!("/{old}"))]);
    drop(state);
    engine.bump();
    Ok(status(204))
}

/// `DELETE /containers/{id}`.
pub fn remove(engine: &Arc<Engine>, wanted: &str, query: &Query) -> Outcome {
    let mut state = engine.state();
    let position = state.position(wanted)?;
    let container = &state.containers[position];
    let id = container.id.clone();
    if container.running() {
        if !query.flag("force") {
            let text = match (engine.profile.release.api().0 >= 47, container.status) {
                (true, "paused") => "container is paused and must be unpaused first".to_string(),
                (true, _) => {
                    "container is running: stop the container before removing or force remove".to_string()
                }
                (false, "paused") => format!(
                    "You cannot remove a paused container {id}. Unpause and then stop the container before \
                     attempting removal or force remove"
                ),
                (false, _) => format!(
                    "You cannot remove a running container {id}. Stop the container before attempting removal or \
                     force remove"
                ),
            };
            let shown = if engine.profile.release.api().0 >= 47 {
                format!("cannot remove container \"{wanted}\": {text}")
            } else {
                text
            };
            return fail(409, shown);
        }
        state.container_event(position, "kill", &[("signal", "9".to_string())]);
        end(engine, &mut state, &id, 137);
    }
    if let Some(position) = state.containers.iter().position(|c| c.id == id) {
        delete(engine, &mut state, position);
    }
    drop(state);
    engine.bump();
    Ok(status(204))
}

/// `POST /containers/{id}/wait`: headers at once, the code when the condition holds.
pub fn wait(engine: &Arc<Engine>, wanted: &str, query: &Query, api: u32) -> Outcome {
    let condition = query.get("condition").unwrap_or("not-running").to_string();
    if !["not-running", "next-exit", "removed"].contains(&condition.as_str()) {
        return fail(400, format!("invalid condition: \"{condition}\""));
    }
    let (id, exits) = {
        let state = engine.state();
        let container = state.container(wanted)?;
        (container.id.clone(), container.exits)
    };
    let mut changes = engine.changes.subscribe();
    let (mut sender, reply) = stream("application/json");
    let engine = engine.clone();
    tokio::spawn(async move {
        let life = engine.life();
        let code = loop {
            changes.borrow_and_update();
            if let Some(code) = settled(&engine.state(), &id, &condition, exits) {
                break code;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = life.cancelled() => return,
            }
        };
        let answer = match api >= 42 {
            true => json!({"StatusCode": code}),
            false => json!({"Error": null, "StatusCode": code}),
        };
        let _ = sender.send_data(Bytes::from(format!("{answer}\n"))).await;
    });
    Ok(reply)
}

fn settled(state: &State, id: &str, condition: &str, exits: u64) -> Option<i64> {
    let Some(container) = state.containers.iter().find(|c| c.id == id) else {
        return Some(state.graves.iter().rev().find(|(grave, _)| grave == id).map_or(0, |(_, code)| *code));
    };
    let holds = match condition {
        "not-running" => !container.running(),
        "next-exit" => container.exits > exits,
        _ => false,
    };
    holds.then_some(container.exit_code)
}
