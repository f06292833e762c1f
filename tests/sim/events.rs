//! Events: made, kept for a while, and streamed. *Not* the waiting for an exit: `lifecycle` does that.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::clock;
use super::query::{Filters, Query};
use super::reply::{Outcome, fail, stream};
use super::state::{Engine, State};

/// How many events `since` can reach back to, as in real engines.
const KEPT: usize = 256;

/// What happened to what.
#[derive(Debug, Clone)]
pub struct Event {
    /// `container`, `image`, `network`, `volume`.
    pub kind: &'static str,
    /// `start`, `die`, ...
    pub action: String,
    /// ID or name.
    pub id: String,
    /// Name, image, labels and details.
    pub attributes: BTreeMap<String, String>,
    /// Nanoseconds since 1970.
    pub time: i64,
}

impl Event {
    /// As JSON; API 1.52 has no `status`, `id` and `from` any more.
    pub fn json(&self, api: u32) -> Value {
        let mut json = json!({
            "Type": self.kind, "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": self.attributes},
            "scope": "local", "time": self.time / 1_000_000_000, "timeNano": self.time,
        });
        if api < 52 && matches!(self.kind, "container" | "image") {
            json["status"] = json!(self.action);
            json["id"] = json!(self.id);
            if let Some(image) = self.attributes.get("image") {
                json["from"] = json!(image);
            }
        }
        json
    }

    fn passes(&self, filters: &Filters) -> bool {
        let name = self.attributes.get("name").map_or("", String::as_str);
        let is = |kind: &'static str| {
            move |want: &str| self.kind == kind && (self.id.starts_with(want) || name == want)
        };
        let image = |want: &str| {
            let image = self.attributes.get(if self.kind == "image" { "name" } else { "image" });
            image.is_some_and(|i| i == want || i.split(':').next() == Some(want)) || is("image")(want)
        };
        filters.any("type", |want| self.kind == want)
            && filters.any("event", |want| self.action == want || self.action.split(':').next() == Some(want))
            && filters.any("container", is("container"))
            && filters.any("network", is("network"))
            && filters.any("volume", is("volume"))
            && filters.any("image", image)
            && filters.labels(&self.attributes)
    }
}

impl State {
    /// Keeps an event. The caller wakes the waiters with `Engine::bump` once the lock is gone.
    pub fn event(
        &mut self,
        kind: &'static str,
        action: &str,
        id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let time = clock::now(self.skew);
        let number = self.history.back().map_or(1, |(n, _)| n + 1);
        if self.history.len() == KEPT {
            self.history.pop_front();
        }
        let event = Event { kind, action: action.to_string(), id: id.to_string(), attributes, time };
        self.history.push_back((number, Arc::new(event)));
    }

    /// An event about a container, with its labels, image and name.
    pub fn container_event(&mut self, position: usize, action: &str, more: &[(&str, String)]) {
        let container = &self.containers[position];
        let mut attributes = container.labels();
        attributes.insert("image".to_string(), container.image.clone());
        attributes.insert("name".to_string(), container.name.clone());
        attributes.extend(more.iter().map(|(k, v)| (k.to_string(), v.clone())));
        let id = container.id.clone();
        self.event("container", action, &id, attributes);
    }
}

/// `GET /events`.
pub fn get(engine: &Arc<Engine>, query: &Query, api: u32) -> Outcome {
    let filters = query.filters(&[
        "type",
        "event",
        "container",
        "network",
        "volume",
        "image",
        "label",
        "label!",
        "daemon",
        "scope",
        "node",
        "service",
        "plugin",
        "config",
        "secret",
    ])?;
    let time = |key: &str| match query.get(key).map(|text| (text, clock::parse(text))) {
        None => Ok(None),
        Some((_, Some(time))) => Ok(Some(time)),
        Some((text, None)) => fail(400, format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")),
    };
    let (since, until) = (time("since")?, time("until")?);
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        return fail(400, "`since` time cannot be after `until` time".to_string());
    }
    let (sender, reply) = stream("application/json");
    let state = engine.state();
    let newest = state.history.back().map_or(0, |(n, _)| *n);
    let streaming = Streaming {
        engine: engine.clone(),
        seen: if since.is_some() { 0 } else { newest },
        cuts: state.cuts,
        since: since.unwrap_or(0),
        until,
        filters,
        api,
    };
    drop(state);
    let changes = engine.changes.subscribe();
    tokio::spawn(streaming.run(sender, changes));
    Ok(reply)
}

struct Streaming {
    engine: Arc<Engine>,
    seen: u64,
    cuts: u64,
    since: i64,
    until: Option<i64>,
    filters: Filters,
    api: u32,
}

impl Streaming {
    async fn run(
        mut self,
        mut sender: http_body_util::channel::Sender<Bytes, std::io::Error>,
        mut changes: tokio::sync::watch::Receiver<u64>,
    ) {
        let life = self.engine.life();
        loop {
            changes.borrow_and_update();
            let Some(lines) = self.news() else { return };
            if !lines.is_empty() && sender.send_data(lines.into()).await.is_err() {
                return;
            }
            let left = self.until.map(|until| until - self.engine.now());
            if left.is_some_and(|n| n <= 0) {
                return;
            }
            let enough = async {
                match left {
                    Some(nanos) => tokio::time::sleep(std::time::Duration::from_nanos(nanos as u64)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = enough => {}
                () = life.cancelled() => return,
            }
        }
    }

    /// What came since the last look; `None` when the stream shall end.
    fn news(&mut self) -> Option<String> {
        let state = self.engine.state();
        if state.cuts != self.cuts {
            return None;
        }
        let fresh = state.history.iter().filter(|(n, e)| {
            *n > self.seen && e.time >= self.since && self.until.is_none_or(|u| e.time <= u)
        });
        let lines = match state.muted {
            true => String::new(),
            false => fresh
                .filter(|(_, e)| e.passes(&self.filters))
                .map(|(_, e)| format!("{}\n", e.json(self.api)))
                .collect(),
        };
        self.seen = state.history.back().map_or(self.seen, |(n, _)| *n);
        Some(lines)
    }
}
