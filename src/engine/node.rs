//! An engine as everyone else sees it: one immutable snapshot.

use std::net::IpAddr;
use std::sync::Arc;

use crate::docker::types::Labels;
use crate::engine::inventory::Inventory;
use crate::engine::machine::State;
use crate::engine::orders::Orders;
use crate::engine::specs::Specs;

/// A snapshot of one engine.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its address as discovery gave it: the key of this engine.
    pub addr: String,
    /// The address's host, resolved. `None` until the first contact.
    pub ip: Option<IpAddr>,
    /// Where in its life it is.
    pub state: State,
    /// 0 to 100; 0 unless Healthy.
    pub health: i64,
    /// The last error that is not overcome.
    pub error: Option<String>,
    /// Unix seconds of the last contact or change.
    pub updated_at: i64,
    /// What it says of itself. `None` until it was validated once.
    pub specs: Option<Arc<Specs>>,
    /// What it holds. Kept while it is Unhealthy.
    pub inventory: Arc<Inventory>,
    /// What the operator says about it. The cluster fills that in: the engine's task knows nothing of it.
    pub orders: Arc<Orders>,
}

impl Node {
    /// A node about which nothing is known yet.
    pub fn unknown(addr: String, now: i64) -> Node {
        Node {
            addr,
            ip: None,
            state: State::Pending,
            health: 0,
            error: None,
            updated_at: now,
            specs: None,
            inventory: Arc::default(),
            orders: Arc::default(),
        }
    }

    /// Its name; empty until it was validated once.
    pub fn name(&self) -> &str {
        self.specs.as_ref().map_or("", |s| &s.name)
    }

    /// Its name, or where it is if that is not known.
    pub fn name_or_addr(&self) -> &str {
        if self.name().is_empty() { &self.addr } else { self.name() }
    }

    /// The engine's ID; empty until it was validated once.
    pub fn id(&self) -> &str {
        self.specs.as_ref().map_or("", |s| &s.id)
    }

    /// Whether it can be used now.
    pub fn is_healthy(&self) -> bool {
        self.state == State::Healthy
    }

    /// A label: the operator's, else the engine's. (Built-in ones are never among the operator's.)
    pub fn label(&self, key: &str) -> Option<&str> {
        let engines = || self.specs.as_ref().and_then(|s| s.labels.get(key));
        self.orders.labels.get(key).or_else(engines).map(String::as_str)
    }

    /// All labels, as `label` finds them.
    pub fn labels(&self) -> Labels {
        let mut labels = self.specs.as_ref().map_or_else(Labels::new, |s| s.labels.clone());
        labels.extend(self.orders.labels.clone());
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::tests::node;
    use crate::engine::orders::Orders;

    #[test]
    fn the_operators_labels_win() {
        let mut node = node("a:1", "a", &[]);
        let mut specs = Specs::clone(node.specs.as_ref().unwrap());
        specs.labels = [("disk", "hdd"), ("ostype", "linux")].map(|(k, v)| (k.into(), v.into())).into();
        node.specs = Some(Arc::new(specs));
        let labels = [("disk", "ssd"), ("rack", "2")].map(|(k, v)| (k.into(), v.into())).into();
        node.orders = Arc::new(Orders { labels, ..Orders::default() });
        let found: Vec<_> = ["disk", "ostype", "rack", "none"].iter().map(|k| node.label(k)).collect();
        assert_eq!(found, [Some("ssd"), Some("linux"), Some("2"), None]);
        assert_eq!(node.labels().len(), 3);
        assert_eq!(node.labels()["disk"], "ssd");
    }
}
