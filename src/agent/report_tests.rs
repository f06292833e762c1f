//! Tests of the agent's one line.

use super::*;
use crate::agent::registrar::Standing;
use crate::discovery::entry;
use crate::error::Kind;

fn look(name: &str, entry: Option<&str>, error: Option<&str>) -> Look {
    let entry = entry.map(|e| entry::parse(e).unwrap());
    let error = error.map(|e| Error::store(Kind::Connect, e));
    let standing = Standing { attempts: 1, entry, error, since: 1 };
    Look { name: name.into(), address: "10.0.0.1:1".into(), standing }
}

fn plan(advertise: &str) -> Plan {
    let (own, heartbeat) = (Own::parse(advertise).unwrap(), Duration::from_secs(60));
    Plan { own, heartbeat, ttl: heartbeat * 3, front: Some(":2376".into()) }
}

fn text(places: &[Look], problem: Option<&Error>) -> String {
    compose(&plan("auto:2375"), places, problem, &Pulse::default()).text
}

#[test]
fn the_line_says_where_and_where_not() {
    let nobody = Error::store(Kind::Unavailable, "no manager was found");
    assert_eq!(text(&[], None), "auto:2375 is being registered");
    assert_eq!(text(&[], Some(&nobody)), "auto:2375 is not registered: no manager was found");
    let good = || look("boss", Some("h:2375"), None);
    assert_eq!(text(&[good()], None), "h:2375 is registered, every 1m0s");
    let bad = || look("spare", None, Some("down"));
    assert_eq!(text(&[bad()], None), "auto:2375 is not registered: down");
    assert_eq!(
        text(&[good(), bad()], None),
        "h:2375 is registered with boss, every 1m0s; not with spare: down"
    );
    let lost = || look("boss", Some("h:2375"), Some("down"));
    assert_eq!(text(&[lost()], None), "auto:2375 is not registered: down");
}

#[test]
fn in_full_only_what_holds_is_registered() {
    let places = [look("boss", Some("h:1"), None), look("spare", Some("h:1"), Some("down"))];
    let report = compose(&plan("h:1"), &places, None, &Pulse::default());
    let entries: Vec<_> = report.agent.managers.iter().map(|m| m.entry.as_deref()).collect();
    assert_eq!(entries, [Some("h:1"), None]);
    assert!(report.begun);
    assert_eq!(report.agent.front.as_deref(), Some(":2376"));
}

#[test]
fn durations_as_in_the_classic_log() {
    for (millis, text) in [
        (60_000, "1m0s"),
        (5_000, "5s"),
        (1_500, "1.5s"),
        (3_600_000, "1h0m0s"),
        (90_010, "1m30.01s"),
        (0, "0s"),
        (20_000, "20s"),
    ] {
        assert_eq!(printed(Duration::from_millis(millis)), text);
    }
}
