//! `POST /containers/create`: what is checked, and what is kept. *Not* ports and networks: those are settled
//! when a container starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::container::Container;
use super::reply::{Fail, Outcome, fail, json_with};
use super::state::{Engine, State};

/// Makes a container of a request.
pub fn post(engine: &Arc<Engine>, name: Option<&str>, body: &[u8]) -> Outcome {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
        return fail(400, "invalid JSON: got EOF while reading request body");
    };
    let now = engine.now();
    let id = create(&mut engine.state(), name, body, now)?;
    engine.bump();
    Ok(json_with(201, &json!({"Id": id, "Warnings": []})))
}

/// Puts a container into the state, and says so in an event.
pub fn create(
    state: &mut State,
    name: Option<&str>,
    mut body: Map<String, Value>,
    now: i64,
) -> Result<String, Fail> {
    let mut take = |key: &str| match body.remove(key) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let (host, mut networking) = (take("HostConfig"), take("NetworkingConfig"));
    let image = body.get("Image").and_then(Value::as_str).unwrap_or("").to_string();
    let id = format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..));
    let name = match name {
        Some(name) => name.strip_prefix('/').unwrap_or(name).to_string(),
        None => format!("quiet_{}", &id[..8]),
    };
    check_name(state, &name)?;
    let Some(found) = state.image(&image) else {
        return fail(404, format!("No such image: {}", super::images::with_tag(&image)));
    };
    let argv = argv(&body);
    let argv = if argv.is_empty() { found.cmd.clone() } else { argv };
    if argv.is_empty() {
        return fail(400, "no command specified");
    }
    let image_id = found.id.clone();
    let given = match networking.remove("EndpointsConfig") {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let mut endpoints: BTreeMap<String, Value> =
        given.into_iter().map(|(network, settings)| (network, endpoint(settings))).collect();
    let mode = host.get("NetworkMode").and_then(Value::as_str).unwrap_or("");
    if !mode.starts_with("container:") {
        let network = if matches!(mode, "" | "default") { "bridge" } else { mode };
        endpoints.entry(network.to_string()).or_insert_with(|| endpoint(json!({})));
    }
    make_volumes(state, &host, now);
    state.containers.push(Container {
        id: id.clone(),
        name,
        image,
        image_id,
        created: now,
        config: body,
        host,
        endpoints,
        argv,
        status: "created",
        pid: 0,
        exit_code: 0,
        error: String::new(),
        oom: false,
        health: String::new(),
        started: 0,
        finished: 0,
        exits: 0,
        restarts: 0,
        ports: Vec::new(),
        size: (0, 0),
        output: Arc::default(),
        run: CancellationToken::new(),
    });
    state.container_event(state.containers.len() - 1, "create", &[]);
    Ok(id)
}

/// Refuses names that are malformed or taken, in the engine's words.
pub fn check_name(state: &State, name: &str) -> Result<(), Fail> {
    let start = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !start || name.len() < 2 || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        return fail(
            400,
            format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        );
    }
    match state.containers.iter().find(|c| c.name == name) {
        None => Ok(()),
        Some(other) => fail(
            409,
            format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{}\". You have to remove \
                 (or rename) that container to be able to reuse that name.",
                other.id
            ),
        ),
    }
}

/// Entry point and command of a creation body, each a string or a list.
pub fn argv(body: &Map<String, Value>) -> Vec<String> {
    let words = |key: &str| match body.get(key) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_string).collect(),
        _ => Vec::new(),
    };
    words("Entrypoint").into_iter().chain(words("Cmd")).filter(|w| !w.is_empty()).collect()
}

/// Endpoint settings with all fields that engines show.
pub fn endpoint(given: Value) -> Value {
    let mut endpoint = json!({
        "IPAMConfig": null, "Links": null, "Aliases": null, "MacAddress": "", "DriverOpts": null, "GwPriority": 0,
        "NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "",
        "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": null,
    });
    if let Value::Object(fields) = given {
        for (key, value) in fields {
            endpoint[key.as_str()] = value;
        }
    }
    endpoint
}

/// Named volumes in binds and mounts come into being.
fn make_volumes(state: &mut State, host: &Map<String, Value>, now: i64) {
    let list = |key: &str| host.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let binds = list("Binds").into_iter().filter_map(|b| b.as_str()?.split(':').next().map(str::to_string));
    let mounts = list("Mounts");
    let mounts = mounts.iter().filter(|m| m["Type"] == "volume").filter_map(|m| m["Source"].as_str());
    let names: Vec<String> = binds.chain(mounts.map(str::to_string)).collect();
    for name in names.into_iter().filter(|n| !n.is_empty() && !n.starts_with('/')) {
        state.volume(&name, &Value::Null, now);
    }
}
