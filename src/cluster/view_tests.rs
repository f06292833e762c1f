//! The view as it changes: order, who moved, API range.

use super::*;
use crate::docker::json::Object;
use crate::docker::types::{Info, Inspected, Version};
use crate::engine::container::Place;
use crate::engine::ledger::Ledger;
use crate::engine::machine::State;
use crate::engine::specs::Specs;
use proptest::prelude::*;

/// A healthy node with containers given as list entries.
pub(crate) fn node(addr: &str, name: &str, entries: &[&str]) -> Node {
    let info = Info {
        id: format!("ID-{addr}"),
        name: name.into(),
        cpus: 4,
        mem_total: 1 << 30,
        architecture: "x86_64".into(),
        ..Info::default()
    };
    let version = Version {
        version: "28".into(),
        api_version: "1.51".into(),
        min_api_version: "1.24".into(),
        ..Version::default()
    };
    let mut ledger = Ledger::default();
    for entry in entries {
        let listed = Object::parse(entry.as_bytes()).unwrap();
        let c = Container::build(&listed, &Inspected::default(), &Place::default()).unwrap();
        let asked = ledger.ask();
        ledger.learn(asked, &c.id.clone(), Some(Arc::new(c)));
    }
    Node {
        state: State::Healthy,
        health: 100,
        specs: Some(Arc::new(Specs::read(addr, &info, &version, 0).unwrap())),
        inventory: Arc::new(ledger.publish(4)),
        ..Node::unknown(addr.into(), 0)
    }
}

#[test]
fn nodes_stay_in_natural_order_as_they_come_and_change() {
    let mut view = View::default();
    for (addr, name) in [("a:1", "node-10"), ("b:1", "node-2"), ("c:1", "node-1")] {
        view = view.with(Arc::new(Node::unknown(addr.into(), 0)));
        view = view.with(Arc::new(node(addr, name, &[])));
    }
    let names = |v: &View| v.nodes().map(|n| n.name().to_string()).collect::<Vec<_>>();
    assert_eq!(names(&view), ["node-1", "node-2", "node-10"]);
    assert_eq!(names(&view.without("b:1")), ["node-1", "node-10"]);
    assert_eq!(view.named("node-2").count(), 1);
    assert_eq!((view.places("node-2"), view.places("node-3").len()), (1..2, 0));
    assert_eq!(view.named("ID-b:1").count(), 1);
}

#[test]
fn the_announced_range_ends_where_the_oldest_node_does() {
    let with = |addr: &str, min, max| {
        let mut node = node(addr, addr, &[]);
        let mut specs = Specs::clone(node.specs.as_ref().unwrap());
        specs.api = ApiRange { min: ApiVersion::new(1, min), max: ApiVersion::new(1, max) };
        node.specs = Some(Arc::new(specs));
        node.state = State::Unhealthy;
        Arc::new(node)
    };
    let range = |nodes: &[&Arc<Node>]| {
        let range = View::of(nodes.iter().map(|n| Arc::clone(n))).api_range();
        (range.min.minor, range.max.minor)
    };
    let (old, new) = (with("a:1", 12, 41), with("b:1", 44, 52));
    assert_eq!(range(&[]), (24, 51));
    assert_eq!(range(&[&new]), (24, 51));
    assert_eq!(range(&[&old]), (24, 41));
    assert_eq!(range(&[&old, &new]), (24, 41));
}

#[test]
fn an_engine_that_moved_is_one_node() {
    let at = |addr: &str, id: &str, state| {
        let mut node = node(addr, "pi1", &[]);
        let mut specs = Specs::clone(node.specs.as_ref().unwrap());
        specs.id = id.into();
        (node.specs, node.state) = (Some(Arc::new(specs)), state);
        Arc::new(node)
    };
    let addresses = |v: &View| v.nodes().map(|n| n.addr.clone()).collect::<Vec<_>>();
    let view = View::of([at("old:1", "X", State::Healthy)]);
    let both = view.with(at("new:1", "X", State::Healthy));
    assert_eq!(addresses(&both), ["new:1", "old:1"], "both answer: a cloned disk");
    let moved = both.with(at("old:1", "X", State::Unhealthy));
    assert_eq!((addresses(&moved), moved.nodes().len()), (vec!["new:1".to_string()], 1));
    assert!(moved.at("old:1").is_none());
    let again = moved.with(at("old:1", "X", State::Unhealthy)).with(at("b:1", "Y", State::Unhealthy));
    assert_eq!(addresses(&again), ["b:1", "new:1"], "one that is merely down stays");
    assert_eq!(
        addresses(&again.with(at("new:1", "X", State::Unhealthy))),
        ["b:1", "new:1"],
        "nor is it back then"
    );
    assert_eq!(addresses(&again.with(at("old:1", "X", State::Healthy))), ["b:1", "new:1", "old:1"]);
    assert_eq!(addresses(&again.without("new:1")), ["b:1", "old:1"], "nothing is lost");
    assert_eq!(again.each(|n| n).known().count(), 3);
}

proptest! {
    #[test]
    fn natural_order_is_total(a in "[a-z0-9]{0,8}", b in "[a-z0-9]{0,8}", c in "[a-z0-9]{0,8}") {
        prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
        prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
        let mut sorted = [a, b, c];
        sorted.sort_by(|x, y| natural(x, y));
        prop_assert!(natural(&sorted[0], &sorted[2]) != Ordering::Greater);
    }
}
