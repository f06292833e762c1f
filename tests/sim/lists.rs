//! Lists of containers with their filters, inspect, prune. *Not* the shape of an entry: `container` has it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::clock;
use super::container::Container;
use super::images::with_tag;
use super::query::{Filters, Query};
use super::reply::{Fail, Outcome, fail, json_ok};
use super::state::{Engine, State};

const FILTERS: [&str; 16] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
    "label!",
];
const STATES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];

/// `GET /containers/json`.
pub fn containers(engine: &Engine, query: &Query, api: u32) -> Outcome {
    let filters = query.filters(&FILTERS)?;
    if let Some(bad) = filters.values("status").iter().find(|s| !STATES.contains(&s.as_str())) {
        return fail(400, format!("invalid filter 'status={bad}'"));
    }
    let limit = query.get("limit").and_then(|n| n.parse::<usize>().ok()).filter(|n| *n > 0);
    let implied = ["status", "exited", "before", "since"].iter().any(|k| filters.has(k));
    let all = query.flag("all") || limit.is_some() || implied;
    let now = engine.now();
    let state = engine.state();
    let (newer, older) = (bound(&state, &filters, "since")?, bound(&state, &filters, "before")?);
    let hits = state.containers.iter().enumerate().rev().filter(|(i, c)| {
        (all || c.running())
            && newer.is_none_or(|n| *i > n)
            && older.is_none_or(|o| *i < o)
            && passes(&state, c, &filters)
    });
    let entries: Vec<Value> =
        hits.take(limit.unwrap_or(usize::MAX)).map(|(_, c)| c.entry(now, api, query.flag("size"))).collect();
    json_ok(&Value::Array(entries))
}

fn bound(state: &State, filters: &Filters, key: &str) -> Result<Option<usize>, Fail> {
    filters.values(key).first().map(|wanted| state.position(wanted)).transpose()
}

fn passes(state: &State, c: &Container, filters: &Filters) -> bool {
    let port = |want: &str, listed: &[String]| {
        let want = if want.contains('/') { want.to_string() } else { format!("{want}/tcp") };
        listed.contains(&want)
    };
    let published: Vec<String> = c.ports.iter().map(|p| format!("{}/{}", p.private, p.proto)).collect();
    let exposed = c.exposed();
    let health = if c.health.is_empty() { "none" } else { &c.health };
    filters.any("id", |want| c.id.starts_with(want))
        && filters.name(&c.name)
        && filters.any("status", |want| c.status == want)
        && filters.any("exited", |want| c.status == "exited" && want == c.exit_code.to_string())
        && filters.any("health", |want| want == health)
        && filters.any("is-task", |want| !matches!(want, "true" | "1"))
        && filters.any("ancestor", |want| {
            with_tag(want) == with_tag(&c.image) || state.image(want).is_some_and(|i| i.id == c.image_id)
        })
        && filters.any("network", |want| {
            c.endpoints.iter().any(|(name, settings)| name == want || settings["NetworkID"] == want)
        })
        && filters
            .any("volume", |want| c.mounts().iter().any(|m| m["Name"] == want || m["Destination"] == want))
        && filters.any("publish", |want| port(want, &published))
        && filters.any("expose", |want| port(want, &exposed))
        && filters.labels(&c.labels())
}

/// `GET /containers/{id}/json`.
pub fn inspect(engine: &Engine, wanted: &str, query: &Query, api: u32) -> Outcome {
    json_ok(&engine.state().container(wanted)?.inspect(api, query.flag("size")))
}

/// `POST /containers/prune`.
pub fn prune(engine: &Arc<Engine>, query: &Query) -> Outcome {
    let filters = query.filters(&["label", "label!", "until"])?;
    let until = filters.values("until").first().and_then(|t| clock::parse(t));
    let ids: Vec<String> = {
        let state = engine.state();
        let idle = state
            .containers
            .iter()
            .filter(|c| !c.running() && filters.labels(&c.labels()) && until.is_none_or(|u| c.created < u));
        idle.map(|c| c.id.clone()).collect()
    };
    for id in &ids {
        // Gone already is as good.
        let _ = super::lifecycle::remove(engine, id, &Query::default());
    }
    json_ok(
        &json!({"ContainersDeleted": if ids.is_empty() { Value::Null } else { json!(ids) }, "SpaceReclaimed": 0}),
    )
}
