//! Volumes by name. They hold nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::clock::rfc3339;
use super::container::string_map;
use super::query::Query;
use super::reply::{Outcome, fail, json_ok, json_with, status};
use super::state::{Engine, State};

impl State {
    /// The volume of this name, made if need be from a creation body or nothing.
    pub fn volume(&mut self, name: &str, spec: &Value, now: i64) -> Value {
        if let Some(there) = self.volumes.get(name) {
            return there.clone();
        }
        let driver = spec["Driver"].as_str().filter(|d| !d.is_empty()).unwrap_or("local");
        let volume = json!({
            "CreatedAt": rfc3339(now / 1_000_000_000 * 1_000_000_000), "Driver": driver,
            "Labels": spec.get("Labels").filter(|l| l.is_object()),
            "Mountpoint": format!("/var/lib/docker/volumes/{name}/_data"), "Name": name,
            "Options": spec.get("DriverOpts").filter(|o| o.as_object().is_some_and(|o| !o.is_empty())), "Scope": "local",
        });
        self.volumes.insert(name.to_string(), volume.clone());
        self.volume_event("create", name);
        volume
    }

    fn volume_event(&mut self, action: &str, name: &str) {
        self.event("volume", action, name, BTreeMap::from([("driver".to_string(), "local".to_string())]));
    }

    fn volume_users(&self, name: &str) -> Vec<String> {
        let uses = |c: &&super::container::Container| c.mounts().iter().any(|m| m["Name"] == name);
        self.containers.iter().filter(uses).map(|c| c.id.clone()).collect()
    }
}

/// `GET /volumes`.
pub fn list(engine: &Engine, query: &Query) -> Outcome {
    let filters = query.filters(&["dangling", "driver", "label", "label!", "name"])?;
    let state = engine.state();
    let hits: Vec<&Value> = (state.volumes.iter())
        .filter(|(name, volume)| {
            filters.name(name)
                && filters.any("driver", |want| volume["Driver"] == want)
                && filters.any("dangling", |want| {
                    state.volume_users(name).is_empty() == matches!(want, "true" | "1")
                })
                && filters.labels(&string_map(volume.get("Labels")))
        })
        .map(|(_, volume)| volume)
        .collect();
    json_ok(&json!({"Volumes": hits, "Warnings": null}))
}

/// `GET /volumes/{name}`.
pub fn inspect(engine: &Engine, name: &str) -> Outcome {
    match engine.state().volumes.get(name) {
        Some(volume) => json_ok(volume),
        None => fail(404, format!("get {name}: no such volume")),
    }
}

/// `POST /volumes/create`.
pub fn create(engine: &Arc<Engine>, body: &[u8]) -> Outcome {
    let Ok(spec @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else {
        return fail(400, "invalid JSON: got EOF while reading request body");
    };
    let random = format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..));
    let name = spec["Name"].as_str().filter(|n| !n.is_empty()).unwrap_or(&random);
    let driver = spec["Driver"].as_str().filter(|d| !d.is_empty()).unwrap_or("local");
    if driver != "local" {
        return fail(404, format!("error looking up volume plugin {driver}: plugin \"{driver}\" not found"));
    }
    let now = engine.now();
    let volume = engine.state().volume(name, &spec, now);
    engine.bump();
    Ok(json_with(201, &volume))
}

/// `DELETE /volumes/{name}`.
pub fn delete(engine: &Arc<Engine>, name: &str, query: &Query) -> Outcome {
    let mut state = engine.state();
    if !state.volumes.contains_key(name) {
        return match query.flag("force") {
            true => Ok(status(204)),
            false => fail(404, format!("get {name}: no such volume")),
        };
    }
    let users = state.volume_users(name);
    if !users.is_empty() {
        return fail(409, format!("remove {name}: volume is in use - [{}]", users.join(", ")));
    }
    state.volumes.remove(name);
    state.volume_event("destroy", name);
    drop(state);
    engine.bump();
    Ok(status(204))
}

/// `POST /volumes/prune`: only nameless ones go unless `all` is set.
pub fn prune(engine: &Arc<Engine>, query: &Query, api: u32) -> Outcome {
    let filters = query.filters(&["all", "label", "label!"])?;
    let all = api < 42 || filters.values("all").iter().any(|v| matches!(v.as_str(), "true" | "1"));
    let mut state = engine.state();
    let anonymous = |n: &str| n.len() == 64 && n.bytes().all(|b| b.is_ascii_hexdigit());
    let unused = state.volumes.iter().filter(|(name, volume)| {
        (all || anonymous(name))
            && state.volume_users(name).is_empty()
            && filters.labels(&string_map(volume.get("Labels")))
    });
    let names: Vec<String> = unused.map(|(name, _)| name.clone()).collect();
    for name in &names {
        state.volumes.remove(name);
        state.volume_event("destroy", name);
    }
    drop(state);
    engine.bump();
    json_ok(
        &json!({"VolumesDeleted": if names.is_empty() { Value::Null } else { json!(names) }, "SpaceReclaimed": 0}),
    )
}
