//! `swarmd node …`: the list, one node, and what is done to it.

use serde::Serialize;

use crate::api::swarmd::talk::{Node, Pause, Removed};
use crate::client::table::table;
use crate::client::{Answer, Manager, pretty, segment};
use crate::engine::Availability;
use crate::error::Result;
use crate::scheduler::explain::size;

pub(super) async fn list(manager: &Manager, json: bool) -> Result<Answer> {
    let nodes: Vec<Node> = manager.get("nodes").await?;
    if json { pretty(&nodes) } else { Ok(Answer::good(listed(&nodes))) }
}

pub(super) async fn inspect(manager: &Manager, name: &str, json: bool) -> Result<Answer> {
    let node: Node = manager.get(&format!("nodes/{}", segment(name))).await?;
    if json { pretty(&node) } else { Ok(Answer::good(described(&node))) }
}

pub(super) async fn pause(manager: &Manager, name: &str, reason: &str, json: bool) -> Result<Answer> {
    order(manager, name, "pause", &Pause { reason: reason.to_string() }, json).await
}

/// Gives an order and shows what holds then, in one line.
pub(super) async fn order(
    manager: &Manager,
    name: &str,
    verb: &str,
    body: &impl Serialize,
    json: bool,
) -> Result<Answer> {
    let node: Node = manager.post(&format!("nodes/{}/{verb}", segment(name)), body).await?;
    if json { pretty(&node) } else { Ok(Answer::good(ordered(&node, verb))) }
}

pub(super) async fn remove(manager: &Manager, name: &str, force: bool, json: bool) -> Result<Answer> {
    let force = if force { "?force=1" } else { "" };
    let removed: Removed = manager.delete(&format!("nodes/{}{force}", segment(name))).await?;
    if json {
        return pretty(&removed);
    }
    let note = if removed.note.is_empty() { String::new() } else { format!(" ({})", removed.note) };
    Ok(Answer::good(format!("{} removed{note}\n", removed.removed)))
}

fn listed(nodes: &[Node]) -> String {
    let row = |node: &Node| {
        vec![
            shown_name(node).to_string(),
            node.status.clone(),
            node.availability.word().to_string(),
            format!("{} ({} running)", node.containers, node.running),
            format!("{} / {}", node.reserved_cpus, node.cpus),
            format!("{} / {}", size(node.reserved_memory), size(node.memory)),
            node.version.clone(),
            node.address.clone(),
        ]
    };
    let head = ["NODE", "STATUS", "AVAILABILITY", "CONTAINERS", "CPUS", "MEMORY", "ENGINE", "ADDRESS"];
    let rows: Vec<_> = nodes.iter().map(row).collect();
    table(0, &head, &rows)
}

fn described(node: &Node) -> String {
    let mut rows: Vec<(&str, String)> = vec![
        ("Name", shown_name(node).to_string()),
        ("ID", node.id.clone()),
        ("Address", node.address.clone()),
        ("Status", node.status.clone()),
    ];
    rows.extend(node.error.iter().map(|error| ("Error", error.clone())));
    rows.push(("Availability", availability(node)));
    rows.push(("Engine", node.version.clone()));
    rows.push(("Platform", node.platform.clone()));
    rows.push(("Containers", format!("{} ({} running)", node.containers, node.running)));
    rows.push(("CPUs", format!("{} reserved of {}", node.reserved_cpus, node.cpus)));
    rows.push(("Memory", format!("{} reserved of {}", size(node.reserved_memory), size(node.memory))));
    rows.extend(node.updated.iter().map(|updated| ("Updated", updated.clone())));
    let mut text: String = rows.iter().map(|(key, value)| format!("{key:<14}{value}\n")).collect();
    text += "Labels\n";
    for (key, value) in &node.labels {
        let by = if node.operator_labels.contains_key(key) { "   (operator)" } else { "" };
        text += &format!("  {key}={value}{by}\n");
    }
    text
}

pub(super) fn ordered(node: &Node, verb: &str) -> String {
    let name = shown_name(node);
    match verb {
        "labels" => {
            let labels: Vec<_> = node.operator_labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let labels = if labels.is_empty() { "none".to_string() } else { labels.join(" ") };
            format!("{name}: labels set by the operator: {labels}\n")
        }
        _ => format!("{name}: {}\n", availability(node)),
    }
}

/// `paused since … (reason)`
fn availability(node: &Node) -> String {
    let word = node.availability.word();
    match (&node.since, node.reason.as_str()) {
        (Some(since), "") if node.availability != Availability::Active => format!("{word} since {since}"),
        (Some(since), reason) if node.availability != Availability::Active => {
            format!("{word} since {since} ({reason})")
        }
        _ => word.to_string(),
    }
}

fn shown_name(node: &Node) -> &str {
    if node.name.is_empty() { "(unknown)" } else { &node.name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let labels =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Node {
            name: "pi1".into(),
            id: "ID1".into(),
            address: "10.0.0.1:2375".into(),
            status: "Unhealthy".into(),
            error: Some("no answer".into()),
            availability: Availability::Paused,
            reason: "new disk".into(),
            since: Some("2026-01-01T00:00:00Z".into()),
            labels: labels(&[("disk", "ssd"), ("ostype", "linux")]),
            operator_labels: labels(&[("disk", "ssd")]),
            version: "28.5.2".into(),
            platform: "linux/arm64".into(),
            cpus: 4,
            memory: 4 << 30,
            reserved_memory: 512 << 20,
            reserved_cpus: 1.5,
            containers: 12,
            running: 10,
            updated: Some("2026-01-02T00:00:00Z".into()),
        }
    }

    #[test]
    fn texts_are_as_in_the_golden_files() {
        let unknown = Node { address: "10.0.0.22:2375".into(), status: "Pending".into(), ..Node::default() };
        assert_eq!(listed(&[node(), unknown]), include_str!("golden/node-ls.txt"));
        assert_eq!(described(&node()), include_str!("golden/node-inspect.txt"));
        assert_eq!(ordered(&node(), "labels"), "pi1: labels set by the operator: disk=ssd\n");
        assert_eq!(ordered(&node(), "pause"), "pi1: paused since 2026-01-01T00:00:00Z (new disk)\n");
        let active = Node { availability: Availability::Active, ..node() };
        assert_eq!(ordered(&active, "resume"), "pi1: active\n");
    }
}
