//! Tests of the book and the plan: what follows from what is known.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::book::{Book, Record};
use super::plan::{Hearing, Replacement, Step, Watch, replacement_of, taken_over};
use crate::cluster::view::tests::node;
use crate::cluster::{Recipe, View};
use crate::docker::json::Object;
use crate::engine::machine::State;
use crate::engine::{Container, Inventory, Node};

const DELAY: u64 = 1000;
const SECOND: i64 = 1_000_000_000;

/// A container that moves on failure, as its engine tells of it.
fn inspected(id: &str, running: bool, finished: &str, binds: &str) -> String {
    format!(
        r#"{{"Id":"{id}","Name":"/{id}","State":{{"Running":{running},"FinishedAt":"{finished}"}},
            "HostConfig":{{"Binds":[{binds}]}},"Config":{{"Image":"busybox",
            "Labels":{{"com.docker.swarm.reschedule-policies":"[\"on-node-failure\"]"}}}}}}"#
    )
}

fn holding(addr: &str, whole: &[String]) -> Node {
    let mut node = node(addr, addr, &[]);
    let containers = whole.iter().map(|text| {
        let object = Object::parse(text.as_bytes()).unwrap();
        let entry = format!(r#"{{"Id":{},"Names":["/x"]}}"#, object.raw("Id").unwrap());
        let mut inspected: crate::docker::types::Inspected = serde_json::from_str(text).unwrap();
        inspected.whole = Some(Arc::new(object));
        let entry = Object::parse(entry.as_bytes()).unwrap();
        let container = Container::build(&entry, &inspected, &Default::default()).unwrap();
        Arc::new(container)
    });
    let containers = crate::engine::containers::Containers::of(containers);
    node.inventory = Arc::new(Inventory { containers, ..Inventory::clone(&node.inventory) });
    node
}

fn down(mut node: Node) -> Node {
    node.state = State::Unhealthy;
    node.error = Some("no answer".into());
    node
}

fn view(nodes: Vec<Node>) -> View {
    View::of(nodes.into_iter().map(Arc::new))
}

/// A book that knows what is on `a:1`.
fn book(whole: &[String]) -> Book {
    let mut book = Book::default();
    let node = holding("a:1", whole);
    assert!(book.learn(&node, &View::default(), |_| false));
    book
}

fn plan(watch: &Watch, book: &Book, view: &View, replacements: &[Replacement], now: u64) -> Vec<Step> {
    watch.plan(book, view, replacements, &BTreeSet::new(), DELAY, now)
}

fn replacement(started: bool) -> Replacement {
    let (of, id, address) = ("web".into(), "web2".into(), "b:1".into());
    Replacement { of, id, address, started, failed: false, created: 0 }
}

#[test]
fn what_is_lost_moves_after_the_delay_and_what_has_data_waits() {
    let whole = [inspected("web", true, "", ""), inspected("db", true, "", r#""data:/d""#)];
    let book = book(&whole);
    let mut watch = Watch::default();
    let healthy = view(vec![holding("a:1", &whole), node("b:1", "b", &[])]);
    assert!(watch.listen(&book, &healthy, 0).is_empty());
    assert_eq!(plan(&watch, &book, &healthy, &[], 9999), []);
    let lost = view(vec![down(holding("a:1", &whole)), node("b:1", "b", &[])]);
    assert_eq!(watch.listen(&book, &lost, 5000), ["ID-a:1"]);
    assert!(watch.listen(&book, &lost, 5500).is_empty(), "it is told once");
    assert_eq!(plan(&watch, &book, &lost, &[], 5999), []);
    assert!(watch.waiting(&book, DELAY, 5999).is_empty());
    watch.probed("ID-a:1", false, 5999);
    assert_eq!(plan(&watch, &book, &lost, &[], 6000), [Step::Make("web".into())]);
    let waiting = watch.waiting(&book, DELAY, 6000);
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting["db"].why, "waits: the data of volume data is on a:1 alone");
    watch.listen(&book, &healthy, 7000);
    assert_eq!(plan(&watch, &book, &healthy, &[], 9999), [], "back in time");
}

#[test]
fn attempts_are_repeated_with_growing_pauses() {
    let whole = [inspected("web", true, "", "")];
    let book = book(&whole);
    let lost = view(vec![down(holding("a:1", &whole))]);
    let mut watch = Watch::default();
    watch.listen(&book, &lost, 0);
    let (mut now, mut pauses) = (DELAY, Vec::new());
    for _ in 0..6 {
        watch.failed("web", "no room".into(), None, now);
        let since = now;
        while plan(&watch, &book, &lost, &[], now).is_empty() {
            now += 500;
        }
        pauses.push(now - since);
    }
    assert_eq!(pauses, [1000, 2000, 4000, 8000, 10_000, 10_000]);
    assert_eq!(watch.waiting(&book, DELAY, now)["web"].why, "waits: no room");
    watch.failed("web", "it did not start".into(), Some("b:1".into()), now);
    assert_eq!(watch.attempt("web").avoid, ["b:1"]);
    watch.failed("web", "no node".into(), None, now);
    assert!(watch.attempt("web").avoid.is_empty(), "what is left is tried again");
}

#[test]
fn only_silence_counts() {
    let at = |nodes: Vec<Node>| Hearing::of(&view(nodes), "ID-a:1", "a:1");
    let pending = || Node::unknown("a:1".into(), 0);
    assert_eq!(at(vec![node("a:1", "a", &[])]), Hearing::Answers);
    assert_eq!(at(vec![down(node("a:1", "a", &[]))]), Hearing::Silent);
    assert_eq!(at(vec![]), Hearing::Unlisted);
    assert_eq!(at(vec![pending()]), Hearing::Answers, "not called yet");
    assert_eq!(at(vec![Node { error: Some("refused".into()), ..pending() }]), Hearing::Silent);
    let mut other = node("a:1", "a", &[]);
    other.specs = node("c:1", "c", &[]).specs;
    assert_eq!(at(vec![other.clone()]), Hearing::Silent, "another engine has its address");
    let mut moved = node("z:1", "a", &[]);
    moved.specs = node("a:1", "a", &[]).specs;
    assert_eq!(at(vec![other, moved]), Hearing::Answers, "it has another address");
}

#[test]
fn an_engine_off_the_list_is_called_before_it_counts_as_lost() {
    let book = book(&[inspected("web", true, "", "")]);
    let blank = View::default();
    let mut watch = Watch::default();
    let probe = [Step::Probe { engine: "ID-a:1".into(), address: "a:1".into() }];
    assert!(watch.listen(&book, &blank, 0).is_empty());
    assert_eq!(plan(&watch, &book, &blank, &[], 0), probe);
    watch.probed("ID-a:1", true, 100);
    assert_eq!(plan(&watch, &book, &blank, &[], 3000), [], "it was heard of lately");
    assert_eq!(plan(&watch, &book, &blank, &[], 20_000), probe);
    for _ in 0..3 {
        assert!(watch.listen(&book, &blank, 20_000).is_empty());
        watch.probed("ID-a:1", false, 20_000);
    }
    assert_eq!(watch.listen(&book, &blank, 20_000), ["ID-a:1"]);
    assert_eq!(plan(&watch, &book, &blank, &[], 21_000), [Step::Make("web".into())]);
}

#[test]
fn one_wins() {
    let whole = [inspected("web", true, "", "")];
    let mut book = book(&whole);
    let lost = view(vec![down(holding("a:1", &whole)), node("b:1", "b", &[])]);
    let (mut watch, idle) = (Watch::default(), BTreeSet::new());
    watch.listen(&book, &lost, 0);
    book.supersede("web", "web2");
    assert!(book.records.is_empty());
    // Its replacement is started first; only then the old one goes.
    let mut back = holding("a:1", &whole);
    back.inventory = Arc::new(back.inventory.hiding(|id| id == "web", 1));
    let back = view(vec![back, node("b:1", "b", &[])]);
    assert_eq!(plan(&watch, &book, &back, &[replacement(false)], 0), [Step::Start("web".into())]);
    let other = [Replacement { id: "web3".into(), ..replacement(false) }];
    assert_eq!(
        plan(&watch, &book, &back, &other, 0),
        [Step::Start("web".into())],
        "made once more meanwhile"
    );
    let busy = BTreeSet::from(["web".to_string()]);
    let mut abandoned = |view, copies: &[Replacement], busy| watch.abandoned(&book, view, copies, busy);
    assert!(abandoned(&back, &[], &idle).is_empty(), "its node may not be listed yet");
    assert!(abandoned(&back, &other, &idle).is_empty() && abandoned(&back, &[], &busy).is_empty());
    assert!(abandoned(&lost, &[], &idle).is_empty(), "it may be on the node that is away");
    assert_eq!(abandoned(&back, &[], &idle), ["web"], "somebody has removed it");
    book.runs("web", "web2");
    let remove = [Step::Remove { address: "a:1".into(), id: "web".into() }];
    assert_eq!(plan(&watch, &book, &back, &[replacement(true)], 0), remove);
    assert!(!book.learn(back.at("a:1").unwrap(), &back, |_| false), "it does not count");
    assert!(book.learn(&node("a:1", "a", &[]), &back, |_| false), "it is gone");
    assert!(book.superseded.is_empty());
}

#[test]
fn what_a_killed_manager_left_is_settled() {
    let whole = [inspected("web", true, "", "")];
    let book = book(&whole);
    let lost = view(vec![down(holding("a:1", &whole)), node("b:1", "b", &[])]);
    let back = view(vec![holding("a:1", &whole), node("b:1", "b", &[])]);
    let idle = BTreeSet::new();
    let mut watch = Watch::default();
    for (view, started, takes_over, removed) in [
        (&lost, false, true, false),
        (&lost, true, true, false),
        (&back, false, false, true),
        (&back, true, false, true), // the old one runs
    ] {
        watch.listen(&book, view, 0);
        let copies = [replacement(started)];
        assert_eq!(taken_over(&watch, &book, view, &copies, &idle).count(), usize::from(takes_over));
        let remove = Step::Remove { address: "b:1".into(), id: "web2".into() };
        assert_eq!(plan(&watch, &book, view, &copies, 0).contains(&remove), removed);
        let busy = BTreeSet::from(["web".to_string()]);
        assert_eq!(taken_over(&watch, &book, view, &copies, &busy).count(), 0, "somebody is at it");
        assert_eq!(watch.plan(&book, view, &copies, &busy, DELAY, 0), []);
    }
}

#[test]
fn users_stops_are_told_from_those_of_nodes() {
    let silent = 1_700_000_000 * SECOND;
    let stopped = |at: &str| inspected("web", false, at, "");
    for (text, by_user, runs) in [
        (inspected("web", true, "2023-11-14T20:00:00Z", ""), false, true),
        (stopped("2023-11-14T22:13:10Z"), false, true), // ten seconds before
        (stopped("2023-11-14T22:13:10Z"), true, false),
        (stopped("2023-11-14T22:12:50Z"), false, false), // half a minute before
        (stopped("0001-01-01T00:00:00Z"), false, false), // never ran
    ] {
        let mut book = Book::default();
        book.learn(&holding("a:1", std::slice::from_ref(&text)), &View::default(), |_| by_user);
        book.silence("ID-a:1", silent);
        book.silence("ID-a:1", 0);
        assert_eq!(book.records["web"].shall_run(), runs, "{text}, {by_user}");
    }
    // Once known it stays known, though the question is answered only once.
    let mut book = Book::default();
    book.learn(&holding("a:1", &[stopped("2023-11-14T22:13:10Z")]), &View::default(), |_| true);
    assert!(!book.learn(&holding("a:1", &[stopped("2023-11-14T22:13:10Z")]), &View::default(), |_| false));
    assert!(book.records["web"].by_user);
    assert!(book.learn(&holding("a:1", &[inspected("web", true, "", "")]), &View::default(), |_| false));
    assert!(!book.records["web"].by_user);
}

#[test]
fn a_replacement_that_is_lost_before_it_ran_hands_its_turn_on() {
    let mut book = book(&[inspected("web", true, "", "")]);
    book.supersede("web", "web2");
    let web2 = Record {
        recipe: Recipe { id: "web2".into(), ..Recipe::default() },
        engine: "ID-b:1".into(),
        address: "b:1".into(),
        stopped: None,
        by_user: false,
        silent_since: None,
    };
    book.records.insert("web2".into(), web2);
    book.supersede("web2", "web3");
    assert_eq!(book.superseded["web"].by, "web3");
    assert!(book.superseded["web"].record.is_some() && book.superseded["web2"].record.is_none());
    let shown = book.remembered(true);
    assert!(shown.is_empty(), "their places are taken");
    let copy = Book::parse(&book.render().unwrap()).unwrap();
    assert_eq!(copy.render().unwrap(), book.render().unwrap());
    book.restore("web");
    let shown = book.remembered(true).remove("a:1").unwrap();
    let mut entry = Vec::new();
    shown[0].entry.write("Host Down", &mut entry);
    let entry: serde_json::Value = serde_json::from_slice(&entry).unwrap();
    assert_eq!((&entry["Names"][0], &entry["Status"]), (&"/a:1/web".into(), &"Host Down".into()));
    assert!(book.records.contains_key("web") && !book.superseded.contains_key("web"));
    assert!(Book::parse(b"{\"version\":9,\"records\":{},\"superseded\":{}}").is_err());
}

#[test]
fn machines_with_one_id_keep_their_own_records() {
    let (a, mut b) =
        (holding("a:1", &[inspected("web", true, "", "")]), holding("b:1", &[inspected("db", true, "", "")]));
    b.specs.clone_from(&a.specs);
    let both = view(vec![a.clone(), b.clone()]);
    let mut book = Book::default();
    for node in [&a, &b, &a] {
        book.learn(node, &both, |_| false);
    }
    assert_eq!(book.records.len(), 2);
    // The same machine at another address, without that container.
    let empty = Node { addr: "c:1".into(), inventory: Arc::default(), ..a };
    book.learn(&empty, &view(vec![empty.clone(), b]), |_| false);
    assert_eq!(book.records.keys().collect::<Vec<_>>(), ["db"]);
}

#[test]
fn what_an_engine_told_last_counts_though_it_is_silent_by_now() {
    let mut book = book(&[inspected("web", false, "2023-11-14T22:13:10Z", "")]);
    book.silence("ID-a:1", 5);
    let last = down(holding("a:1", &[inspected("web", true, "", ""), inspected("db", true, "", "")]));
    assert!(book.learn(&last, &View::default(), |_| false));
    assert!(book.records["web"].shall_run() && book.records["web"].silent_since == Some(5));
    assert!(book.records.contains_key("db"));
    assert!(!book.learn(&last, &View::default(), |_| false));
    book.supersede("web", "web2");
    book.runs("web", "web2");
    book.learn(&down(node("a:1", "a", &[])), &View::default(), |_| false);
    assert!(book.superseded.contains_key("web"), "only an engine that answers can tell that it is gone");
}

#[test]
fn of_two_that_nobody_noted_the_old_one_wins_if_it_runs_or_can() {
    let at = |second: u32| format!("2023-11-14T22:13:{second:02}Z");
    let copy = |started, failed| {
        let created = 1_700_000_000 * SECOND; // 22:13:20
        [Replacement { failed, created, ..replacement(started) }]
    };
    let remove = Step::Remove { address: "b:1".into(), id: "web2".into() };
    let revive = Step::Revive { address: "a:1".into(), id: "web".into() };
    let (runs, before, after) = (String::new(), at(0), at(30));
    for (old, started, failed, step, takes_over) in [
        (&runs, false, false, Some(&remove), false),
        (&runs, true, false, Some(&remove), false),
        (&runs, true, true, Some(&remove), false),
        // The manager ended after it had stopped the old one.
        (&after, false, false, Some(&revive), false),
        (&after, true, true, Some(&revive), false),
        (&after, true, false, None, true),
        // It was stopped before anybody moved it.
        (&before, false, false, Some(&remove), false),
        (&before, true, false, None, true),
    ] {
        let whole = [inspected("web", old.is_empty(), old, "")];
        let book = Book::default();
        let view = view(vec![holding("a:1", &whole), node("b:1", "b", &[])]);
        let (watch, copies, idle) = (Watch::default(), copy(started, failed), BTreeSet::new());
        let steps = plan(&watch, &book, &view, &copies, 0);
        assert_eq!(steps.iter().collect::<Vec<_>>(), Vec::from_iter(step), "{old} {started} {failed}");
        assert_eq!(taken_over(&watch, &book, &view, &copies, &idle).count(), usize::from(takes_over));
    }
    // Not before all nodes were called: one of them may have it.
    let unheard = view(vec![Node::unknown("a:1".into(), 0), node("b:1", "b", &[])]);
    let (watch, book, copies, idle) = (Watch::default(), Book::default(), copy(true, false), BTreeSet::new());
    assert_eq!(taken_over(&watch, &book, &unheard, &copies, &idle).count(), 0);
    assert_eq!(plan(&watch, &book, &unheard, &copies, 0), []);
}

#[test]
fn who_gets_the_mandate_gives_up_what_another_has_taken_back() {
    let whole = [inspected("web", true, "", ""), inspected("db", true, "", "")];
    let (mut first, mut second) = (book(&whole), book(&whole));
    // Both see the copies; the first takes that of web back, and what runs in the place of db stays.
    for id in ["web", "db"] {
        second.supersede(id, &format!("{id}2"));
        second.runs(id, &format!("{id}2"));
        first.supersede(id, &format!("{id}2"));
    }
    first.restore("web");
    let copies = [Replacement { of: "db".into(), id: "db2".into(), ..replacement(true) }];
    let hidden = |book: &Book| {
        let mut a = holding("a:1", &whole);
        a.inventory = Arc::new(a.inventory.hiding(|id| book.superseded.contains_key(id), 1));
        view(vec![a, node("b:1", "b", &[])])
    };
    let remove = |id: &str| Step::Remove { address: "a:1".into(), id: id.into() };
    let watch = Watch::default();
    assert!(plan(&watch, &second, &hidden(&second), &copies, 0).contains(&remove("web")), "what must not be");
    let again = second.reconsider(|id, entry| replacement_of(id, entry, &copies).is_some());
    assert_eq!(again, ["web"]);
    assert_eq!(plan(&watch, &second, &hidden(&second), &copies, 0), [remove("db")]);
    assert_eq!(second.superseded.keys().collect::<Vec<_>>(), first.superseded.keys().collect::<Vec<_>>());
    // What was still to be started is known again as it was.
    first.supersede("web", "web2");
    assert_eq!(first.reconsider(|_, _| false), ["db", "web"]);
    assert!(first.records.contains_key("web") && first.records.contains_key("db"));
}

#[test]
fn an_engine_that_answers_a_call_keeps_its_containers_though_it_is_not_healthy() {
    let whole = [inspected("web", true, "", "")];
    let book = book(&whole);
    let half = view(vec![down(holding("a:1", &whole)), node("b:1", "b", &[])]);
    let probe = [Step::Probe { engine: "ID-a:1".into(), address: "a:1".into() }];
    let mut watch = Watch::default();
    watch.listen(&book, &half, 0);
    assert_eq!(plan(&watch, &book, &half, &[], DELAY), probe);
    watch.probed("ID-a:1", true, DELAY);
    assert_eq!(plan(&watch, &book, &half, &[], DELAY), []);
    assert!(watch.waiting(&book, DELAY, DELAY)["web"].why.contains("answers"));
    assert_eq!(plan(&watch, &book, &half, &[], 9 * DELAY), probe, "it is asked again");
    watch.probed("ID-a:1", false, 9 * DELAY);
    assert_eq!(plan(&watch, &book, &half, &[], 9 * DELAY), [Step::Make("web".into())]);
    assert_eq!(plan(&watch, &book, &half, &[], 99 * DELAY), probe, "that was long ago");
}
