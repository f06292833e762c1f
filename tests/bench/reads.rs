//! Lists and look-ups: time for a client, CPU of the manager.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{self, Line};
use crate::engines::Fleet;
use crate::options::Options;
use crate::sheet::{Sheet, Want, percentile};
use crate::subject::Running;

/// No question is asked for longer than this.
const BUDGET: Duration = Duration::from_secs(8);

/// A container as it is asked for.
struct Known {
    id: String,
    name: String,
    engine: usize,
}

pub async fn measure(fleet: &Fleet, manager: &Running, options: &Options, sheet: &mut Sheet) {
    let known = containers(manager).await;
    if known.is_empty() {
        eprintln!("   no containers are listed");
        return;
    }
    let some = |i: usize| &known[i * 7919 % known.len()];
    let filter = |text: String| format!("?all=1&filters={}", encode(&text));
    let named =
        |i: usize| format!("/containers/json{}", filter(format!(r#"{{"name":["{}"]}}"#, some(i).name)));
    let labelled = |_| format!("/containers/json{}", filter(r#"{"label":["no=such"]}"#.to_string()));
    let mut lists = async |name: &str, times: usize, want: (Want, Want), path: &dyn Fn(usize) -> String| {
        let (mut seconds, cpu) = ask(manager, options.times(times), path).await;
        sheet.note(&format!("{name}: CPU"), "ms", want.0, cpu * 1e3);
        sheet.times(name, want.1, &mut seconds);
    };
    let at_most = Want::AtMost;
    lists("ps -a", 40, (at_most(16.0), at_most(28.0)), &|_| "/containers/json?all=1".into()).await;
    lists("ps -a --filter name=", 400, (at_most(1.5), Want::Less), &named).await;
    lists("ps -a --filter label=", 400, (Want::Less, Want::Less), &labelled).await;
    lists("ps --last 10", 1000, (at_most(0.3), Want::Less), &|_| "/containers/json?limit=10".into()).await;
    lists("info", 500, (Want::Less, at_most(1.0)), &|_| "/info".into()).await;
    lists("network ls", 40, (at_most(8.0), Want::Less), &|_| "/networks".into()).await;
    lists("volume ls", 400, (Want::Less, Want::Less), &|_| "/volumes".into()).await;
    lists("_ping", 2000, (Want::Less, Want::Less), &|_| "/_ping".into()).await;
    let times = options.times(3000);
    let mut direct = straight(fleet, times, &|i| (some(i).engine, some(i).id.clone())).await;
    let direct = percentile(&mut direct, 50);
    sheet.note("inspect, straight at the engine, p50", "ms", Want::Less, direct * 1e3);
    let inspect = |what: &str| format!("/containers/{what}/json");
    for (name, path) in [
        ("inspect by id", &(|i: usize| inspect(&some(i).id)) as &dyn Fn(usize) -> String),
        ("inspect by name", &|i| inspect(&some(i).name)),
        ("inspect by prefix", &|i| inspect(&some(i).id[..20])),
    ] {
        let (mut seconds, cpu) = ask(manager, times, path).await;
        sheet.note(&format!("{name}: CPU"), "ms", Want::Less, cpu * 1e3);
        let over = percentile(&mut seconds, 50) - direct;
        sheet.note(&format!("{name}: p50 beyond straight"), "ms", Want::AtMost(0.1), over * 1e3);
        sheet.note(&format!("{name}: p99"), "ms", Want::Less, percentile(&mut seconds, 99) * 1e3);
    }
    together(manager, options.times(5).max(2)).await;
    sheet.note("peak RSS with 8 ps -a at once", "MiB", Want::AtMost(110.0), manager.peak());
}

/// Asks one question after the other. Seconds of each; CPU seconds of the manager for one.
async fn ask(manager: &Running, times: usize, path: &dyn Fn(usize) -> String) -> (Vec<f64>, f64) {
    let mut line = Line::to(manager.addr);
    let (mut seconds, began) = (Vec::with_capacity(times), Instant::now());
    let _ = line.drain("GET", &path(0), "").await;
    let cpu = manager.cpu();
    for i in 0..times {
        let asked = Instant::now();
        match line.drain("GET", &path(i), "").await {
            Ok((200, _)) => seconds.push(asked.elapsed().as_secs_f64()),
            Ok((status, _)) => eprintln!("   {status} for {}", path(i)),
            Err(e) => eprintln!("   {e} for {}", path(i)),
        }
        if began.elapsed() > BUDGET {
            break;
        }
    }
    let cpu = (manager.cpu() - cpu) / seconds.len().max(1) as f64;
    (seconds, cpu)
}

/// The same inspects without a manager.
async fn straight(fleet: &Fleet, times: usize, what: &dyn Fn(usize) -> (usize, String)) -> Vec<f64> {
    let mut lines: Vec<Line> = (0..fleet.size).map(|i| Line::to(fleet.addr(i))).collect();
    let mut seconds = Vec::with_capacity(times);
    for i in 0..times {
        let (engine, id) = what(i);
        // The connection is there already when it counts, as that of the manager is.
        let _ = lines[engine].drain("GET", "/_ping", "").await;
        let asked = Instant::now();
        if lines[engine].drain("GET", &format!("/containers/{id}/json"), "").await.is_ok() {
            seconds.push(asked.elapsed().as_secs_f64());
        }
    }
    seconds
}

/// Eight clients list everything at once.
async fn together(manager: &Running, times: usize) {
    let one = |addr: SocketAddr| async move {
        let mut line = Line::to(addr);
        for _ in 0..times {
            let _ = line.drain("GET", "/containers/json?all=1", "").await;
        }
    };
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(one(manager.addr))).collect();
    for client in clients {
        let _ = client.await;
    }
}

/// What the manager lists, with the engine that has it: its containers' names tell.
async fn containers(manager: &Running) -> Vec<Known> {
    let Ok(answer) = client::Line::to(manager.addr).call("GET", "/containers/json?all=1", "").await else {
        return Vec::new();
    };
    let list: Vec<Value> = serde_json::from_slice(&answer.body).unwrap_or_default();
    let known = list.iter().filter_map(|entry| {
        let name = entry["Names"][0].as_str()?.rsplit('/').next()?.to_string();
        let engine = name.strip_prefix("sim-node-")?.split('-').next()?.parse().ok()?;
        Some(Known { id: entry["Id"].as_str()?.to_string(), name, engine })
    });
    known.collect()
}

pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
