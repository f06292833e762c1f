//! The merged event stream: each event once, in its engine's order, whatever happens to the streams below.

use serde_json::Value;

use crate::rig::http::Stream;
use crate::rig::{Manager, engines, sleeper, until};
use crate::sim::{Fault, Kind};

/// Reads a stream of JSON lines until one of them satisfies `last`.
pub async fn lines_until(stream: &mut Stream, last: impl Fn(&Value) -> bool) -> Vec<Value> {
    let (mut text, mut lines) = (Vec::new(), Vec::new());
    loop {
        while let Some(end) = text.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            lines.push(serde_json::from_slice(&line).expect("a line of JSON"));
            if lines.last().is_some_and(&last) {
                return lines;
            }
        }
        text.extend(stream.next().await.expect("a piece").expect("more events"));
    }
}

fn is(event: &Value, action: &str, name: &str) -> bool {
    event["Action"] == action && event["Actor"]["Attributes"]["name"] == name
}

/// `ACTION` of the container events of one container, in order.
fn actions<'a>(events: &'a [Value], name: &str) -> Vec<&'a str> {
    let mine = events.iter().filter(|e| e["Type"] == "container" && e["Actor"]["Attributes"]["name"] == name);
    mine.map(|e| e["Action"].as_str().unwrap_or("?")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_comes_once_and_in_order_over_broken_streams() {
    let engines = engines(3).await;
    let manager = Manager::of(&engines).await;
    let mut events = manager.stream("/events").await;
    for i in 0..12 {
        let name = format!("c{i}");
        manager.run(&name, &sleeper()).await;
        // The manager's own streams end again and again, and once its engines are gone for a moment.
        engines[i % 3].fault(Fault::everywhere(Kind::EndEvents)).await;
        if i == 6 {
            engines[0].restart_on_same_port().await.expect("its port");
            manager.all_healthy(3).await;
        }
        let gone =
            async || manager.call("DELETE", &format!("/containers/{name}?force=1"), &Value::Null).await;
        until("the removal", async || (gone().await.status == 204).then_some(())).await;
    }
    manager.run("last", &sleeper()).await;
    let got = lines_until(&mut events, |e| is(e, "start", "last")).await;
    for i in 0..12 {
        let name = format!("c{i}");
        assert_eq!(actions(&got, &name), ["create", "start", "kill", "die", "destroy"], "{name}");
    }
    for event in got.iter().filter(|e| e["Type"] == "container") {
        assert!(event["node"]["Name"].as_str().is_some_and(|n| n.starts_with("node-")), "{event}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_while_an_engine_was_away_is_told_when_it_is_back() {
    let engines = engines(2).await;
    let manager = Manager::of(&engines).await;
    let mut events = manager.stream("/events").await;
    manager.run("before", &sleeper()).await;
    let owner = engines.iter().find(|e| !e.containers().is_empty()).expect("its engine");
    owner.stop();
    manager.in_state(owner, "Unhealthy").await;
    owner.exit("before", 7);
    owner.restart_on_same_port().await.expect("its port");
    let got = lines_until(&mut events, |e| is(e, "die", "before")).await;
    assert_eq!(actions(&got, "before"), ["create", "start", "die"]);
    let order: Vec<&str> =
        got.iter().filter(|e| e["Type"] == "swarm").map(|e| e["Action"].as_str().unwrap_or("?")).collect();
    assert_eq!(order.first(), Some(&"engine_disconnect"));
}
