//! What an engine holds from its start: images, predefined networks, running containers.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::profile::{Profile, hex_id};
use super::state::Engine;
use super::{clock, create, images, lifecycle, networks};

/// The label by which managers know their containers.
const SWARM_ID: &str = "com.docker.swarm.id";

/// Fills a new engine.
pub fn fill(engine: &Arc<Engine>) {
    let profile = &engine.profile;
    let now = clock::now(0);
    let mut state = engine.state();
    state.networks = networks::predefined(&state.id, now);
    for image in &profile.images {
        state.add_image(images::named(image, &profile.architecture));
    }
    drop(state);
    run(engine, profile.containers, "sim");
}

/// Runs `count` containers named `prefix-ENGINE-N` that do nothing until they are stopped.
pub fn run(engine: &Arc<Engine>, count: usize, prefix: &str) {
    let profile = &engine.profile;
    let now = clock::now(0);
    let Some(image) = profile.images.first() else {
        return;
    };
    for i in 0..count {
        let name = format!("{prefix}-{}-{i}", profile.name);
        let body = body(profile, image, &name);
        let created = create::create(&mut engine.state(), Some(&name), body, now);
        if let Ok(id) = created {
            let _ = lifecycle::start(engine, &id);
        }
    }
}

fn body(profile: &Profile, image: &str, name: &str) -> Map<String, Value> {
    let mut labels: Map<String, Value> =
        profile.container_labels.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    if !profile.foreign {
        labels.insert(SWARM_ID.to_string(), json!(hex_id(name)));
    }
    let body = json!({"Image": image, "Cmd": ["sleep", "infinity"], "Labels": labels});
    match body {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
