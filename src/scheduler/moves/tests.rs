//! Who stays and why, who goes where, and what holds for every proposal.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::balance::{Balance, loads, propose, takes_part};
use super::*;
use crate::cluster::View;
use crate::cluster::pending::Pending;
use crate::config::Strategy as Order;
use crate::docker::form::Form;
use crate::docker::json::Object;
use crate::docker::types::{ListedNetwork, ListedVolume, Mount};
use crate::engine::inventory::{Inventory, Network, Volume};
use crate::engine::{Availability, Orders};
use crate::scheduler::place;
use crate::scheduler::rig::{Bed, container, node, options, view};

/// A running container made through the manager.
fn ours(id: &str, mut what: Value) -> Container {
    if what["Labels"].is_null() {
        what["Labels"] = json!({});
    }
    what["Labels"]["com.docker.swarm.id"] = json!(format!("s-{id}"));
    container(id, &[id], what)
}

fn plain(id: &str) -> Container {
    ours(id, json!({}))
}

fn mount(kind: &str, name: &str, source: &str) -> Mount {
    Mount { r#type: kind.into(), name: name.into(), source: source.into(), ..Mount::default() }
}

fn mounting(id: &str, mounts: &[Mount]) -> Container {
    Container { mounts: mounts.into(), ..plain(id) }
}

fn on(network: &str, id: &str) -> Container {
    Container { networks: [(network.into(), "n".into())].into(), ..plain(id) }
}

/// A node that holds these, two networks and three volumes.
fn holding(containers: &[Container]) -> Node {
    let bed = containers.iter().cloned().fold(node("n0"), Bed::holds);
    let network = |name: &str, scope: &str, driver: &str| Network {
        fields: ListedNetwork {
            name: name.into(),
            scope: scope.into(),
            driver: driver.into(),
            ..Default::default()
        },
        form: Form::default(),
    };
    let volume = |name: &str, scope: &str, kind: &str| Volume {
        fields: ListedVolume {
            name: name.into(),
            driver: "local".into(),
            scope: scope.into(),
            options: [("type".to_string(), kind.to_string())].into(),
            ..Default::default()
        },
        entry: Object::default(),
    };
    let mut built = bed.build();
    built.inventory = Arc::new(Inventory {
        networks: [
            network("shop", "local", "bridge"),
            network("wide", "global", "overlay"),
            network("lan", "local", "macvlan"),
        ]
        .into(),
        volumes: [volume("data", "local", ""), volume("nas", "local", "nfs"), volume("san", "global", "")]
            .into(),
        ..Inventory::clone(&built.inventory)
    });
    built
}

const UNNAMED: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn what_stays_says_why() {
    let ended = json!({"State": {"StartedAt": "2026-01-01T00:00:00Z", "FinishedAt": "2026-01-01T00:00:00Z"}});
    let paused = json!({"State": {"Running": true, "Paused": true, "StartedAt": "2026-01-01T00:00:00Z"}});
    let policy = json!({"Labels": {"com.docker.swarm.reschedule-policies": "[\"off\"]"}});
    let host = |host: Value| json!({ "HostConfig": host });
    let movable = ours("x1", json!({"Labels": {"com.docker.swarm.reschedule-volumes": "move"}}));
    let id = "feedfeedfeedfeed";
    for (asked, empty, even) in [
        (plain("x1"), "", ""),
        (container("x1", &["x1"], json!({})), "was not created through the manager", "was not"),
        (ours("x1", ended), "is stopped", "is stopped"),
        (ours("x1", paused), "is paused", "is paused"),
        (ours("x1", host(json!({"AutoRemove": true}))), "(--rm)", "(--rm)"),
        (mounting("x1", &[mount("volume", "data", "")]), "the volume data of this node", "the volume data"),
        (
            Container { mounts: [mount("volume", "data", "")].into(), ..movable.clone() },
            "",
            "the volume data",
        ),
        (mounting("x1", &[mount("volume", "gone", "")]), "the volume gone", "the volume gone"),
        (mounting("x1", &[mount("volume", "nas", ""), mount("volume", "san", "")]), "", ""),
        (
            mounting("x1", &[mount("volume", UNNAMED, "")]),
            "the volume 0123456789ab",
            "the volume 0123456789ab",
        ),
        (
            Container { mounts: [mount("volume", UNNAMED, "")].into(), ..movable.clone() },
            "",
            "volume 0123456789ab",
        ),
        (mounting("x1", &[mount("bind", "", "/srv/www")]), "uses /srv/www", "uses /srv/www"),
        (mounting("x1", &[mount("bind", "", "/etc/localtime"), mount("tmpfs", "", "")]), "", ""),
        (mounting("x1", &[mount("bind", "", "/devices")]), "uses /devices", "uses /devices"),
        (
            ours("x1", host(json!({"NetworkMode": "container:peer"}))),
            "together with peer",
            "together with peer",
        ),
        (ours("x1", host(json!({"Links": ["/peer:/x1/db"]}))), "together with peer", "together with peer"),
        (
            ours("x1", host(json!({"VolumesFrom": [format!("{id}:ro")]}))),
            "together with peer",
            "together with peer",
        ),
        (plain("base"), "together with user", "together with user"),
        (on("shop", "x1"), "", "talks to peer over shop"),
        (on("wide", "x1"), "", ""),
        (ours("x1", policy), "", "reschedule:off"),
        (plain("liked"), "", "friend was placed beside it"),
    ] {
        let peer = Container {
            names: vec!["/peer".into()],
            networks: [("shop".into(), "n".into())].into(),
            ..plain(id)
        };
        let user = ours("user", json!({"HostConfig": {"PidMode": "container:base"}}));
        let near =
            json!({"Labels": {"com.docker.swarm.affinities": "[\"container==~x*\",\"container==lik*\"]"}});
        let node = holding(&[asked.clone(), peer, user, ours("friend", near)]);
        for (purpose, text) in [(Purpose::Empty, empty), (Purpose::Even, even)] {
            let why = stays(&node, &asked, purpose).map(|s| s.to_string()).unwrap_or_default();
            assert!(if text.is_empty() { why.is_empty() } else { why.contains(text) }, "{text:?}: {why:?}");
        }
    }
}

#[test]
fn two_at_once_only_where_they_do_not_meet() {
    let created = json!({"State": {"StartedAt": "0001-01-01T00:00:00Z"}});
    let port = json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}});
    let any = json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": ""}]}}});
    for (asked, apart, together) in [
        (plain("x"), Way::StartFirst, Way::StartFirst),
        (ours("x", created), Way::CreateOnly, Way::CreateOnly),
        (ours("x", port), Way::StartFirst, Way::StopFirst),
        (ours("x", any), Way::StartFirst, Way::StartFirst),
        (ours("x", json!({"HostConfig": {"NetworkMode": "host"}})), Way::StartFirst, Way::StopFirst),
        (mounting("x", &[mount("volume", "nas", "")]), Way::StopFirst, Way::StopFirst),
        (mounting("x", &[mount("volume", UNNAMED, "")]), Way::StartFirst, Way::StartFirst),
        (on("shop", "x"), Way::StartFirst, Way::StartFirst),
        (on("wide", "x"), Way::StopFirst, Way::StopFirst),
        (on("lan", "x"), Way::StopFirst, Way::StopFirst),
    ] {
        let at = |ip: &str, node: Node| Node { ip: ip.parse().ok(), ..node };
        let from = at("10.0.0.1", holding(std::slice::from_ref(&asked)));
        assert_eq!(Way::of(&asked, &from, &at("10.0.0.2", node("n1").build())), apart, "{asked:?}");
        assert_eq!(Way::of(&asked, &from, &at("10.0.0.1", node("n1").build())), together, "{asked:?}");
    }
}

fn drained(view: &View, name: &str) -> View {
    let node = view.named(name).next().unwrap();
    let mut orders = Orders::default();
    orders.set_availability(Availability::Drained, "", 0);
    view.with(Arc::new(Node { orders: Arc::new(orders), ..Node::clone(node) }))
}

fn emptied(nodes: &[Bed], name: &str) -> empty::Emptying {
    let (view, options) = (drained(&view(nodes), name), options(Order::Spread, 0));
    let node = Arc::clone(view.named(name).next().unwrap());
    let (movers, left) = empty::sorted(&node);
    let movers = movers.into_iter().map(|c| mover(&node, c)).collect();
    let chance = fastrand::Rng::with_seed(1);
    empty::plan(Rehearsal::new(view.clone(), Pending::default(), options.clone(), chance), movers, left)
}

#[test]
fn a_node_is_emptied_in_an_order_that_works() {
    let asking = |id: &str, label: &str, value: Value| {
        ours(id, json!({"Labels": {format!("com.docker.swarm.{label}"): json!([value]).to_string()}}))
    };
    let port = json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}});
    let nodes = [
        node("n0")
            // By its ID first, and wants to be near one that comes later.
            .holds(asking("a-near", "affinities", json!("container==b-web")))
            .holds(ours("b-web", port.clone()))
            .holds(asking("c-pinned", "constraints", json!("node==n0")))
            .holds(mounting("d-data", &[mount("volume", "data", "")])),
        node("n1").holds(ours("other", port)),
        node("n2"),
    ];
    let plan = emptied(&nodes, "n0");
    let went: Vec<_> = plan.moves.iter().map(|m| (m.container.as_str(), m.to.as_str())).collect();
    assert_eq!(went, [("b-web", "n2"), ("a-near", "n2")]);
    let left: Vec<_> = plan.left.iter().map(|l| (l.container.as_str(), l.why.as_str(), l.holds_up)).collect();
    let nowhere = "no other node will do: n1, n2: does not satisfy node==n0";
    assert_eq!(
        left,
        [("d-data", "its data is in the volume data of this node", true), ("c-pinned", nowhere, true)]
    );
    let alone = emptied(&[node("n0").holds(plain("x"))], "n0");
    assert_eq!(alone.left[0].why, "no other node will do: there is none");
}

fn mover(node: &Arc<Node>, container: &Arc<Container>) -> Mover {
    let request = Request::again(container, node);
    Mover { node: Arc::clone(node), container: Arc::clone(container), request }
}

fn movers(view: &View) -> Vec<Mover> {
    let ours = view
        .containers()
        .filter(|(n, c)| takes_part(n) && c.life.running && stays(n, c, Purpose::Even).is_none());
    ours.map(|(node, container)| mover(node, container)).collect()
}

fn balanced(view: &View, order: Order, most: usize) -> Balance {
    let options = options(order, 0);
    let chance = fastrand::Rng::with_seed(1);
    propose(Rehearsal::new(view.clone(), Pending::default(), options.clone(), chance), movers(view), most)
}

fn shown(balance: &Balance) -> String {
    let moves =
        balance.moves.iter().map(|m| format!("{} {}>{} {:.1}: {}", m.container, m.from, m.to, m.gain, m.why));
    moves.collect::<Vec<_>>().join("\n")
}

fn crowded(name: &str, count: usize) -> Bed {
    (0..count).fold(node(name), |bed, i| bed.holds(plain(&format!("{name}-{i}"))))
}

#[test]
fn proposals_are_few_and_say_what_they_are_for() {
    let uneven = view(&[crowded("n0", 4), crowded("n1", 1), crowded("n2", 2)]);
    assert_eq!(shown(&balanced(&uneven, Order::Spread, 10)), "n0-0 n0>n1 2.0: n0 4.0 to 3.0, n1 1.0 to 2.0");
    let even = view(&[crowded("n0", 3), crowded("n1", 2)]);
    assert_eq!(shown(&balanced(&even, Order::Spread, 10)), "");
    let memory = ours("big", json!({"HostConfig": {"Memory": 2_i64 << 30}}));
    let heavy = view(&[crowded("n0", 2).holds(memory), crowded("n1", 2)]);
    // Half of a node's memory is as much as five containers, but only turned around; two small ones would help more.
    assert_eq!(
        shown(&balanced(&heavy, Order::Spread, 10)),
        "n0-0 n0>n1 2.0: n0 8.0 to 7.0, n1 2.0 to 3.0\nn0-1 n0>n1 2.0: n0 7.0 to 6.0, n1 3.0 to 4.0"
    );
    let packed = view(&[crowded("n0", 3), crowded("n1", 2), node("n2")]);
    assert_eq!(
        shown(&balanced(&packed, Order::Binpack, 10)),
        "n1-0 n1>n0 0.5: n1 becomes empty (1 of 2)\nn1-1 n1>n0 0.5: n1 becomes empty (2 of 2)"
    );
    assert!(balanced(&packed, Order::Binpack, 1).note.contains("1 moves are the limit"));
    assert!(balanced(&uneven, Order::Random, 10).note.contains("by chance"));
}

fn draft() -> impl Strategy<Value = Value> {
    let memory = prop_oneof![3 => Just(0i64), 1 => 1i64..(1 << 30)];
    let nano = prop_oneof![3 => Just(0i64), 1 => 1i64..2_000_000_000];
    let ports = prop_oneof![3 => Just(""), 1 => Just("80"), 1 => Just("81")];
    let wish =
        prop_oneof![4 => Just(""), 1 => Just("node==n1"), 1 => Just("node!=n2"), 1 => Just("node==~n0")];
    (memory, nano, ports, wish, prop_oneof![5 => Just(true), 1 => Just(false)]).prop_map(|(memory, nano, port, wish, runs)| {
        let bindings = if port.is_empty() { json!({}) } else { json!({"80/tcp": [{"HostPort": port}]}) };
        let labels = if wish.is_empty() {
            json!({})
        } else {
            json!({"com.docker.swarm.constraints": json!([wish]).to_string()})
        };
        let begun = "2026-01-01T00:00:00Z";
        json!({
            "HostConfig": {"Memory": memory, "NanoCpus": nano, "PortBindings": bindings}, "Labels": labels,
            "State": {"Running": runs, "StartedAt": begun, "FinishedAt": begun},
        })
    })
}

/// CPUs, healthy, what it holds.
type Draft = (i64, bool, Vec<Value>);

fn beds() -> impl Strategy<Value = Vec<Bed>> {
    let bed = (1i64..8, prop_oneof![5 => Just(true), 1 => Just(false)], vec(draft(), 0..8));
    vec(bed, 1..5).prop_map(|drafts| {
        let bed = |(i, (cpus, healthy, held)): (usize, Draft)| {
            let bed = node(&format!("n{i}")).size(cpus, cpus << 30).health(if healthy { 100 } else { 0 });
            held.into_iter()
                .enumerate()
                .fold(bed, |bed, (j, what)| bed.holds(ours(&format!("c{i}{j}"), what)))
        };
        drafts.into_iter().enumerate().map(bed).collect()
    })
}

/// What the proposals do to the loads, one after the other; fails if the scheduler would refuse one.
fn course(
    view: &View,
    movers: &[Mover],
    moves: &[Move],
    order: Order,
) -> Result<Vec<Vec<i64>>, TestCaseError> {
    let options = options(order, 0);
    let mut rehearsal =
        Rehearsal::new(view.clone(), Pending::default(), options.clone(), fastrand::Rng::with_seed(1));
    let numbers = |r: &Rehearsal| loads(&r.view, &r.pending).iter().map(|(_, l)| l.0).collect::<Vec<_>>();
    let mut course = vec![numbers(&rehearsal)];
    for step in moves {
        let mover = movers.iter().find(|m| m.container.id == step.id).unwrap();
        let to = Arc::clone(rehearsal.view.at(&step.to_addr).unwrap());
        let alone = View::of([Arc::clone(&to)]);
        let chance = &mut fastrand::Rng::with_seed(1);
        prop_assert!(place(&alone, &rehearsal.pending, &mover.request, &options, chance).is_ok(), "{step:?}");
        rehearsal.moved(mover, &to);
        course.push(numbers(&rehearsal));
    }
    Ok(course)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn spreading_helps_with_every_move(beds in beds(), most in 1usize..6) {
        let view = view(&beds);
        let balance = balanced(&view, Order::Spread, most);
        prop_assert!(balance.moves.len() <= most);
        let once: HashSet<_> = balance.moves.iter().map(|m| &m.id).collect();
        prop_assert_eq!(once.len(), balance.moves.len());
        prop_assert!(balance.moves.iter().all(|m| m.gain >= 1.0 && m.from != m.to));
        for pair in course(&view, &movers(&view), &balance.moves, Order::Spread)?.windows(2) {
            // Rounding: a few hundredths.
            prop_assert!(pair[1].iter().max() <= pair[0].iter().max().map(|m| m + 5).as_ref());
            let changed: Vec<usize> = (0..pair[0].len()).filter(|i| pair[0][*i] != pair[1][*i]).collect();
            prop_assert_eq!(changed.len(), 2);
            let apart = |loads: &[i64]| (loads[changed[0]] - loads[changed[1]]).abs();
            prop_assert!(apart(&pair[1]) <= apart(&pair[0]) - balance::LEAST_GAIN + 10);
        }
    }

    #[test]
    fn each_container_of_a_drained_node_goes_where_it_may_or_says_why_not(beds in beds()) {
        let plan = emptied(&beds, "n0");
        let all = beds[0].containers.iter().map(|c| c.id.clone()).collect::<HashSet<_>>();
        let told: Vec<_> = plan.moves.iter().map(|m| m.id.clone()).chain(plan.left.iter().map(|l| l.id.clone())).collect();
        prop_assert_eq!(told.len(), all.len());
        prop_assert_eq!(told.into_iter().collect::<HashSet<_>>(), all);
        prop_assert!(plan.left.iter().all(|l| !l.why.is_empty()));
        let view = drained(&view(&beds), "n0");
        let node = view.named("n0").next().unwrap();
        let movers: Vec<_> = node.inventory.containers.values().map(|c| mover(node, c)).collect();
        course(&view, &movers, &plan.moves, Order::Spread)?;
    }

    #[test]
    fn packing_empties_whole_nodes(beds in beds(), most in 1usize..9) {
        let view = view(&beds);
        let balance = balanced(&view, Order::Binpack, most);
        prop_assert!(balance.moves.len() <= most);
        let course = course(&view, &movers(&view), &balance.moves, Order::Binpack)?;
        let used = |loads: &[i64]| loads.iter().filter(|l| **l > 0).count();
        let gained = used(&course[0]) - used(&course[course.len() - 1]);
        let sources: HashSet<_> = balance.moves.iter().map(|m| &m.from).collect();
        prop_assert_eq!(sources.len(), gained);
        prop_assert!(balance.moves.iter().all(|m| !sources.contains(&m.to)));
    }

    #[test]
    fn plain_containers_end_up_even(counts in vec(0usize..12, 1..6)) {
        let beds: Vec<Bed> = counts.iter().enumerate().map(|(i, n)| crowded(&format!("n{i}"), *n)).collect();
        let view = view(&beds);
        let course = course(&view, &movers(&view), &balanced(&view, Order::Spread, 100).moves, Order::Spread)?;
        let last = &course[course.len() - 1];
        prop_assert!(last.iter().max().unwrap() - last.iter().min().unwrap() <= 100, "{last:?}");
    }

    #[test]
    fn the_order_in_which_nodes_came_makes_no_difference(beds in beds(), shuffle: u64) {
        let first = balanced(&view(&beds), Order::Spread, 5);
        let mut beds = beds;
        fastrand::Rng::with_seed(shuffle).shuffle(&mut beds);
        prop_assert_eq!(balanced(&view(&beds), Order::Spread, 5), first);
    }
}
