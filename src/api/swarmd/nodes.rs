//! Nodes: what is known of them, and the operator's orders for them.

use std::sync::Arc;

use crate::api::Api;
use crate::api::call::Call;
use crate::api::swarmd::talk::{self, Pause, Relabel, Removed};
use crate::clock;
use crate::cluster::View;
use crate::cluster::orders::{Book, Entry};
use crate::docker::endpoint::Endpoint;
use crate::engine::specs::BUILT_IN;
use crate::engine::{Availability, Node, Orders};
use crate::error::{Error, Kind, Result};
use crate::scheduler::expr;

/// Longest value of a label and longest reason, in bytes: they are shown in tables and kept in memory.
const LONGEST_TEXT: usize = 1024;

/// A node that somebody means: one that discovery lists, one for which there are orders, or both.
struct Meant {
    node: Option<Arc<Node>>,
    /// Who it is. A node that was never reached has the identity that the book knows its address by, if any.
    entry: Option<Entry>,
}

impl Meant {
    fn told(&self) -> talk::Node {
        match (&self.node, &self.entry) {
            (Some(node), Some(entry)) if node.id().is_empty() => {
                let talk::Node { status, error, updated, .. } = told(node);
                talk::Node { status, error, updated, ..told_absent(entry) }
            }
            (Some(node), _) => told(node),
            (None, entry) => entry.as_ref().map_or_else(talk::Node::default, told_absent),
        }
    }

    fn answers_to(&self, query: &str) -> bool {
        let of_node = self.node.iter().flat_map(|n| [n.name(), n.id(), n.addr.as_str()]);
        let of_entry = self.entry.iter().flat_map(|e| [e.name.as_str(), e.id.as_str(), e.addr.as_str()]);
        !query.is_empty() && of_node.chain(of_entry).any(|name| name == query)
    }

    fn address(&self) -> String {
        let of_entry = || self.entry.as_ref().map(|e| e.addr.clone()).unwrap_or_default();
        self.node.as_ref().map_or_else(of_entry, |n| n.addr.clone())
    }
}

/// Those that discovery lists, then those that only the operator speaks of.
fn all(view: &View, book: &Book) -> Vec<Meant> {
    let absent: Vec<&Entry> = book.absent(view).collect();
    let listed = view.nodes().map(|node| Meant {
        entry: match node.id() {
            "" => absent.iter().find(|e| e.addr == node.addr).map(|e| Entry::clone(e)),
            _ => Some(Entry::of(node)),
        },
        node: Some(Arc::clone(node)),
    });
    let unknown = |e: &&&Entry| !view.at(&e.addr).is_some_and(|n| n.id().is_empty());
    let others = absent.iter().filter(unknown).map(|e| Meant { node: None, entry: Some(Entry::clone(e)) });
    listed.chain(others).collect()
}

impl Api {
    /// `GET /swarmd/v1/nodes`
    pub(super) fn tell_nodes(&self) -> Vec<talk::Node> {
        let (view, book) = (self.cluster.view(), self.cluster.desk().book());
        all(&view, &book).iter().map(Meant::told).collect()
    }

    /// `GET /swarmd/v1/nodes/{name}`
    pub(super) fn tell_node(&self, name: &str) -> Result<talk::Node> {
        Ok(self.meant(name)?.told())
    }

    /// `POST /swarmd/v1/nodes/{name}/labels`
    pub(super) async fn label_node(&self, call: &Call, name: &str, change: Relabel) -> Result<talk::Node> {
        check_labels(&change)?;
        let set: Vec<_> = change.set.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let removed: Vec<_> = change.remove.iter().map(|k| format!("{k}-")).collect();
        let what = format!("labels {}", [set, removed].concat().join(" "));
        self.order(call, name, &what, move |_, orders| {
            orders.labels.retain(|key, _| !change.remove.contains(key));
            orders.labels.extend(change.set);
        })
        .await
    }

    /// `POST /swarmd/v1/nodes/{name}/pause`
    pub(super) async fn pause_node(&self, call: &Call, name: &str, pause: Pause) -> Result<talk::Node> {
        self.withhold(call, name, Availability::Paused, &pause.reason).await
    }

    /// The order that stands before a node is emptied.
    pub(super) async fn order_drain(&self, call: &Call, name: &str, reason: &str) -> Result<talk::Node> {
        self.withhold(call, name, Availability::Drained, reason).await
    }

    async fn withhold(
        &self,
        call: &Call,
        name: &str,
        availability: Availability,
        reason: &str,
    ) -> Result<talk::Node> {
        check_text("the reason", reason)?;
        let what = match reason {
            "" => availability.word().to_string(),
            reason => format!("{} ({reason})", availability.word()),
        };
        let reason = reason.to_string();
        self.order(call, name, &what, move |now, orders| {
            orders.set_availability(availability, &reason, now);
        })
        .await
    }

    /// `POST /swarmd/v1/nodes/{name}/resume`
    pub(super) async fn resume_node(&self, call: &Call, name: &str) -> Result<talk::Node> {
        self.order(call, name, "resumed", |now, orders| {
            orders.set_availability(Availability::Active, "", now);
        })
        .await
    }

    /// `DELETE /swarmd/v1/nodes/{name}`: out of discovery where that can be, out of the view, and nothing said
    /// about it is kept. Its engine and containers are not touched.
    pub(super) async fn remove_node(&self, call: &Call, name: &str, force: bool) -> Result<Removed> {
        let meant = self.meant(name)?;
        let mut note = String::new();
        if let Some(node) = &meant.node {
            if node.is_healthy() && !force {
                let text = format!("node {} is in use: {}", node.name(), node.state.word());
                return Err(Error::client(Kind::Conflict, text)
                    .advise("stop its agent or take it off the list of engines first, or use --force"));
            }
            note = self.withdraw(node).await;
            self.cluster.remove(&node.addr);
        }
        let (address, entry) = (meant.address(), meant.entry.unwrap_or_default());
        self.cluster.order(move |book| book.forget(&entry.id)).await?;
        let removed = if entry.name.is_empty() { address } else { entry.name };
        tracing::info!(PEER = %call.peer, "node {removed} removed by {}", call.peer);
        Ok(Removed { removed, note })
    }

    /// Takes a node off the list of engines. Returns what the operator should know about it.
    async fn withdraw(&self, node: &Node) -> String {
        if !self.discovery.takes_registrations() {
            return "the list of engines still names it: take it off there, or it is back when the manager \
                    starts anew"
                .into();
        }
        let entry = Endpoint::parse(&node.addr);
        let withdrawn = match entry {
            Ok(entry) => self.discovery.withdraw(&entry).await,
            Err(error) => Err(error),
        };
        match withdrawn {
            Ok(()) => "if its agent still runs, it joins again".into(),
            Err(error) => format!("its registration could not be taken back, so it may return: {error}"),
        }
    }

    /// Changes the orders for a node, and tells how it is then.
    async fn order(
        &self,
        call: &Call,
        name: &str,
        what: &str,
        change: impl FnOnce(i64, &mut Orders) + Send + 'static,
    ) -> Result<talk::Node> {
        let meant = self.meant(name)?;
        let Some(entry) = meant.entry else {
            let text = format!("node {} was never reached, so who it is is not known", meant.address());
            return Err(
                Error::client(Kind::Conflict, text).advise("`swarmd node ls` shows what is wrong with it")
            );
        };
        let (id, shown, now) = (entry.id.clone(), entry.name.clone(), clock::unix_seconds());
        self.cluster.order(move |book| book.change(&entry, |orders| change(now, orders))).await?;
        tracing::info!(PEER = %call.peer, NODE = shown, "node {shown}: {what}, by {}", call.peer);
        // By its ID: a node whose last order was taken back may be absent and unknown now.
        self.tell_node(&id).or_else(|_| Ok(talk::Node { name: shown, id, ..absent() }))
    }

    fn meant(&self, query: &str) -> Result<Meant> {
        let (view, book) = (self.cluster.view(), self.cluster.desk().book());
        let mut hits: Vec<Meant> = all(&view, &book).into_iter().filter(|m| m.answers_to(query)).collect();
        match (hits.len(), hits.pop()) {
            (1, Some(meant)) => Ok(meant),
            (_, None) => Err(Error::client(Kind::NotFound, format!("No such node: {query}"))
                .advise("`swarmd node ls` lists them")),
            (_, Some(last)) => {
                let list: Vec<_> = hits.iter().chain([&last]).map(Meant::address).collect();
                Err(Error::client(Kind::Conflict, format!("node {query} is ambiguous: {}", list.join(", ")))
                    .advise("use one of these instead of the name"))
            }
        }
    }
}

fn told(node: &Node) -> talk::Node {
    let specs = node.specs.as_deref();
    let inventory = &node.inventory;
    talk::Node {
        name: node.name().to_string(),
        id: node.id().to_string(),
        address: node.addr.clone(),
        status: node.state.word().to_string(),
        error: node.error.clone(),
        labels: node.labels(),
        version: specs.map_or_else(String::new, |s| s.version.clone()),
        platform: specs.map_or_else(String::new, |s| s.platform.to_string()),
        cpus: specs.map_or(0, |s| s.cpus),
        memory: specs.map_or(0, |s| s.memory),
        reserved_memory: inventory.used.memory,
        reserved_cpus: inventory.used.milli_cpus as f64 / 1000.0,
        containers: inventory.containers.len(),
        running: inventory.containers.values().filter(|c| c.life.word() == "running").count(),
        updated: Some(clock::rfc3339(node.updated_at)),
        ..said(&node.orders)
    }
}

fn told_absent(entry: &Entry) -> talk::Node {
    talk::Node {
        name: entry.name.clone(),
        id: entry.id.clone(),
        address: entry.addr.clone(),
        labels: entry.orders.labels.clone(),
        status: absent().status,
        ..said(&entry.orders)
    }
}

fn absent() -> talk::Node {
    talk::Node { status: "Absent".into(), ..talk::Node::default() }
}

fn said(orders: &Orders) -> talk::Node {
    talk::Node {
        availability: orders.availability,
        reason: orders.reason.clone(),
        since: (orders.since > 0).then(|| clock::rfc3339(orders.since)),
        operator_labels: orders.labels.clone(),
        ..talk::Node::default()
    }
}

/// A label is there for expressions: one whose key none can name would be of no use.
fn check_labels(change: &Relabel) -> Result<()> {
    let invalid = |text: String| Err(Error::client(Kind::Invalid, text));
    for (key, value) in &change.set {
        if BUILT_IN.contains(&key.as_str()) {
            return invalid(format!("label {key} is what the engine says of itself and cannot be set"));
        }
        if !expr::is_key(key) {
            return Err(Error::client(Kind::Invalid, format!("label key {key:?} is invalid"))
                .advise("a letter or _, then at least one of letters, digits, _ . -"));
        }
        check_text("the value of a label", value)?;
    }
    if let Some(both) = change.remove.iter().find(|key| change.set.contains_key(*key)) {
        return invalid(format!("label {both} cannot be set and removed at once"));
    }
    match change.set.is_empty() && change.remove.is_empty() {
        true => invalid("no labels given".into()),
        false => Ok(()),
    }
}

fn check_text(what: &str, text: &str) -> Result<()> {
    match text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
        true => Err(Error::client(
            Kind::Invalid,
            format!("{what} must be one line of at most {LONGEST_TEXT} bytes"),
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::tests::node;

    #[test]
    fn a_node_that_was_not_reached_is_known_by_its_address() {
        let known = node("a:1", "pi1", &[]);
        let mut book = Book::default();
        book.change(&Entry::of(&known), |o| o.set_availability(Availability::Paused, "", 1));
        let told = |view: &View| -> Vec<_> {
            let name = |m: &Meant| (m.told().name, m.told().status, m.told().availability.word());
            all(view, &book).iter().map(name).collect()
        };
        let pi1 = |status: &str| ("pi1".to_string(), status.to_string(), "paused");
        let dead = View::of([Arc::new(Node::unknown("a:1".into(), 0))]);
        assert_eq!(told(&dead), [pi1("Pending")]);
        assert_eq!(told(&View::default()), [pi1("Absent")]);
        assert_eq!(told(&View::of([book.complete(Arc::new(known))])), [pi1("Healthy")]);
        assert!(all(&dead, &book)[0].answers_to("pi1") && all(&dead, &book)[0].answers_to("ID-a:1"));
        let stranger = View::of([Arc::new(Node::unknown("b:1".into(), 0))]);
        assert_eq!(told(&stranger).len(), 2);
        assert!(all(&stranger, &book)[0].entry.is_none());
    }

    #[test]
    fn labels_that_no_expression_could_name_are_refused() {
        let set = |key: &str, value: &str| {
            let set = [(key.to_string(), value.to_string())].into();
            check_labels(&Relabel { set, remove: vec!["gone".into()] }).map_err(|e| e.message)
        };
        assert_eq!(set("disk", "ssd"), Ok(()));
        assert_eq!(set("disk", ""), Ok(()));
        for key in ["a", "a b", "disk/x", "-x", "", "1a"] {
            assert!(set(key, "v").unwrap_err().contains("is invalid"), "{key}");
        }
        for key in BUILT_IN {
            assert!(set(key, "v").unwrap_err().contains("cannot be set"), "{key}");
        }
        assert!(set("disk", "a\nb").unwrap_err().contains("one line"));
        assert!(set("gone", "x").unwrap_err().contains("at once"));
        assert_eq!(check_labels(&Relabel::default()).unwrap_err().message, "no labels given");
    }
}
