//! Clients that read slower than engines write. (First in the alphabet: the longest wait of all starts first.)

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;

use crate::events::lines_until;
use crate::rig::{Connection, Manager, engine, sleeper, until};
use crate::sim::Profile;

/// Docker's clients read slower than engines write: a pager, a terminal that was stopped, a tape.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_pauses_for_half_a_minute_loses_nothing() {
    let engines = vec![engine(Profile { export_mib: 32, ..Profile::default() }).await];
    let manager = Manager::of(&engines).await;
    manager.run("web", &sleeper()).await;
    let mut whole = manager.stream("/containers/web/export").await;
    let mut size = 0;
    while let Some(piece) = whole.next().await.expect("a piece") {
        size += piece.len();
    }
    assert!(size > 16 << 20, "{size}: more than all buffers on the way");

    let mut slow = Connection::open_narrow(manager.addr).await;
    slow.request("GET", "/containers/web/export", "").await;
    let head = slow.head().await.expect("a head").expect("an answer");
    let mut slow = slow.stream(&head);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let mut got = 0;
    while let Some(piece) = slow.next().await.expect("no break") {
        got += piece.len();
    }
    assert_eq!(got, size);
}

/// Better an end that the client sees than a gap that it does not; and nobody else is held up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_too_slow_for_the_events_is_cut_and_others_miss_nothing() {
    const EVENTS: usize = 9000;
    // Labels are part of each event: these make it large, so that the kernel's buffers are soon full.
    let labels = [("ballast".to_string(), "x".repeat(3000))].into();
    let engines =
        vec![engine(Profile { containers: 1, container_labels: labels, ..Profile::named("pi1") }).await];
    let manager = Manager::of(&engines).await;
    let mut slow = Connection::open_narrow(manager.addr).await;
    slow.request("GET", "/events", "").await;
    let head = slow.head().await.expect("a head").expect("an answer");
    let mut quick = manager.stream("/events").await;

    let seen = AtomicUsize::new(0);
    let happen = async {
        for i in 0..EVENTS {
            engines[0].engine().state().container_event(0, &format!("exec_create: {i}"), &[]);
            engines[0].engine().bump();
            // The simulated engine keeps 256 events: no faster than they are read.
            until("the reader", async || (i < seen.load(Relaxed) + 100).then_some(())).await;
        }
    };
    let number = |e: &Value| e["Action"].as_str().and_then(|a| a.strip_prefix("exec_create: ")?.parse().ok());
    let last = |e: &Value| {
        seen.store(number(e).unwrap_or(0), Relaxed);
        number(e) == Some(EVENTS - 1)
    };
    let (quick, ()) = tokio::join!(lines_until(&mut quick, last), happen);
    let numbers: Vec<usize> = quick.iter().filter_map(number).collect();
    assert_eq!(numbers, (0..EVENTS).collect::<Vec<_>>(), "the quick one gets all");

    let mut slow = slow.stream(&head);
    let mut text = Vec::new();
    while let Some(piece) = slow.next().await.expect("a proper end") {
        text.extend(piece);
    }
    let text = String::from_utf8(text).expect("text");
    let got: Vec<usize> = text
        .lines()
        .map(|l| serde_json::from_str(l).expect("whole lines"))
        .filter_map(|e| number(&e))
        .collect();
    assert_eq!(got, (0..got.len()).collect::<Vec<_>>(), "no gap before the end");
    assert!(got.len() < EVENTS, "it was cut");
    assert!(manager.log().contains("an event client is too slow"));
}
