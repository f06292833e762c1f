//! The merged event stream: each engine's events with their node, and the cluster's own (`engine_connect`, …).

use std::sync::Arc;

use crate::clock;
use crate::docker::filters::Filters;
use crate::docker::json::Object;
use crate::docker::types::EventMessage;
use crate::engine::Node;
use crate::engine::events::Event;
use crate::engine::machine::Transition;

/// An event as clients get it.
#[derive(Debug, Clone)]
pub struct ClusterEvent {
    /// The fields that filters look at; attributes include `node.*`.
    pub message: EventMessage,
    /// Name of the node.
    pub node: String,
    /// Address of the node.
    pub addr: String,
    /// The JSON text, without a newline.
    pub json: Arc<str>,
}

/// An engine's event with its node: `from` gets the node's name, the attributes get `node.*`, and the whole
/// gets a `node` object, as clients of the classic manager read them.
pub fn of_engine(node: &Node, event: Event) -> ClusterEvent {
    let Event { mut message, whole } = event;
    let mut whole = Object::parse(whole.get().as_bytes()).unwrap_or_default();
    if !message.from.is_empty() || whole.contains("from") {
        message.from = format!("{} node:{}", message.from, node.name());
        whole.set("from", &message.from);
    }
    message.actor.attributes.extend(attributes(node));
    let mut actor = whole.object("Actor");
    actor.set("Attributes", &message.actor.attributes);
    whole.set("Actor", &actor);
    whole.set("node", &node_object(node));
    ClusterEvent {
        message,
        node: node.name().to_string(),
        addr: node.addr.clone(),
        json: whole.to_json().into(),
    }
}

/// The cluster's own event about an engine that came or went.
pub fn of_transition(node: &Node, transition: Transition) -> ClusterEvent {
    let action = match transition {
        Transition::Connected => "engine_connect",
        Transition::Reconnected => "engine_reconnect",
        Transition::Lost => "engine_disconnect",
    };
    let nanos = clock::unix_nanos();
    let mut message = EventMessage {
        status: action.into(),
        from: format!("swarm node:{}", node.name()),
        kind: "swarm".into(),
        action: action.into(),
        time: nanos / 1_000_000_000,
        time_nano: nanos,
        ..EventMessage::default()
    };
    message.actor.attributes.extend(attributes(node));
    let json = serde_json::json!({
        "status": action,
        "from": message.from,
        "Type": "swarm",
        "Action": action,
        "Actor": { "ID": "", "Attributes": message.actor.attributes },
        "time": message.time,
        "timeNano": nanos,
        "node": serde_json::from_str::<serde_json::Value>(&node_object(node).to_json()).unwrap_or_default(),
    });
    ClusterEvent {
        message,
        node: node.name().to_string(),
        addr: node.addr.clone(),
        json: json.to_string().into(),
    }
}

impl ClusterEvent {
    /// What tells it from all others.
    pub fn key(&self) -> (i64, String) {
        (self.message.time_nano, format!("{} {}", self.addr, self.message.what()))
    }

    /// Whether a client with these filters wants it. Values of one key are alternatives, keys add up.
    pub fn passes(&self, filters: &Filters) -> bool {
        let m = &self.message;
        let is = |kind: &str| m.kind == kind;
        let attribute = |key: &str| m.actor.attributes.get(key).map_or("", String::as_str);
        let object = |key: &str, hit: bool| !filters.has(key) || hit;
        let names = |key: &str, name: &str| {
            let hit = |v: &String| {
                *v == m.actor.id || v == name || (v.len() >= 4 && m.actor.id.starts_with(v.as_str()))
            };
            filters
                .values(key)
                .iter()
                .any(|v| hit(v) || v.rsplit('/').next() == Some(name) && !name.is_empty())
        };
        filters.exact("type", &m.kind)
            && self.passes_action(filters)
            && filters.labels("label", &m.actor.attributes)
            && filters.exact("scope", if m.scope.is_empty() { "local" } else { &m.scope })
            && filters.exact("node", &self.node)
            && object("container", self.about_container(filters, &names))
            && object(
                "image",
                (is("image") && names("image", attribute("name")))
                    || filters.values("image").iter().any(|v| v == attribute("image")),
            )
            && object("network", is("network") && names("network", attribute("name")))
            && object("volume", is("volume") && names("volume", attribute("name")))
            && object("daemon", is("daemon") && names("daemon", attribute("name")))
    }

    fn about_container(&self, filters: &Filters, names: &dyn Fn(&str, &str) -> bool) -> bool {
        let name = self.message.actor.attributes.get("name").map_or("", String::as_str);
        match self.message.kind.as_str() {
            "container" => names("container", name),
            // Network and volume events name the container that they touch.
            _ => self
                .message
                .actor
                .attributes
                .get("container")
                .is_some_and(|id| filters.values("container").iter().any(|v| id.starts_with(v.as_str()))),
        }
    }

    /// `health_status` and `exec_create` carry details behind a colon; the bare word selects them all.
    fn passes_action(&self, filters: &Filters) -> bool {
        let action = &self.message.action;
        let bare = action.split(':').next().unwrap_or_default();
        !filters.has("event") || filters.values("event").iter().any(|v| v == action || v == bare)
    }
}

fn attributes(node: &Node) -> [(String, String); 4] {
    [
        ("node.name".into(), node.name().into()),
        ("node.id".into(), node.id().into()),
        ("node.addr".into(), node.addr.clone()),
        ("node.ip".into(), ip(node)),
    ]
}

fn node_object(node: &Node) -> Object {
    let mut object = Object::default();
    object.set("Name", node.name());
    object.set("Id", node.id());
    object.set("Addr", &node.addr);
    object.set("Ip", &ip(node));
    object
}

/// A node's address for people; the manager's own machine for an engine on a unix socket.
pub fn ip(node: &Node) -> String {
    node.ip.map_or_else(|| "127.0.0.1".to_string(), |ip| ip.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::tests::node;

    fn event(json: &str) -> ClusterEvent {
        let whole = serde_json::value::RawValue::from_string(json.to_string()).unwrap();
        of_engine(
            &node("10.0.0.1:2375", "pi1", &[]),
            Event { message: serde_json::from_str(json).unwrap(), whole },
        )
    }

    const START: &str = r#"{"status":"start","id":"c0ffee","from":"busybox","Type":"container","Action":"start",
        "Actor":{"ID":"c0ffee","Attributes":{"image":"busybox","name":"web","a":"b"}},"scope":"local","time":1,"timeNano":1,"x":[1.0]}"#;

    #[test]
    fn events_name_their_node_and_keep_the_rest() {
        let json: serde_json::Value = serde_json::from_str(&event(START).json).unwrap();
        assert_eq!(json["from"], "busybox node:pi1");
        assert_eq!(json["Actor"]["Attributes"]["node.name"], "pi1");
        assert_eq!(json["node"]["Addr"], "10.0.0.1:2375");
        assert_eq!(json["x"][0].to_string(), "1.0");
    }

    #[test]
    fn filters_select() {
        let event = event(START);
        for (filters, hit) in [
            (r#"{}"#, true),
            (r#"{"type":["container"],"event":["start","die"]}"#, true),
            (r#"{"type":["image"]}"#, false),
            (r#"{"container":["web"]}"#, true),
            (r#"{"container":["pi1/web"]}"#, true),
            (r#"{"container":["c0ff"]}"#, true),
            (r#"{"container":["db"]}"#, false),
            (r#"{"image":["busybox"]}"#, true),
            (r#"{"label":["a=b"]}"#, true),
            (r#"{"label":["a=c"]}"#, false),
            (r#"{"node":["pi2"]}"#, false),
            (r#"{"network":["x"]}"#, false),
        ] {
            assert_eq!(event.passes(&Filters::parse(Some(filters)).unwrap()), hit, "{filters}");
        }
    }

    #[test]
    fn bare_action_words_select_detailed_actions() {
        let sick = event(r#"{"Type":"container","Action":"health_status: unhealthy","Actor":{"ID":"c"}}"#);
        assert!(sick.passes(&Filters::parse(Some(r#"{"event":["health_status"]}"#)).unwrap()));
        assert!(!sick.passes(&Filters::parse(Some(r#"{"event":["health"]}"#)).unwrap()));
    }
}
