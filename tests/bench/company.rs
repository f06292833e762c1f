//! Bad company: one engine or client that misbehaves, and what everyone else notices of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::Line;
use crate::creates;
use crate::engines::Fleet;
use crate::events;
use crate::options::Options;
use crate::sheet::{Sheet, Want, percentile};
use crate::sim::fault::{Fault, Kind};
use crate::subject::Running;

/// Keeps off the engine that misbehaves.
const ELSEWHERE: &str =
    r#"{"Image":"busybox","Env":["constraint:node!=node-0","constraint:ostype==linux"],"HostConfig":{}}"#;

pub async fn measure(fleet: &mut Fleet, manager: &Running, options: &Options, sheet: &mut Sheet) {
    if fleet.size < 2 {
        return;
    }
    let before = everyone(fleet, manager, options).await;
    sheet.note("p99 of others, everybody well", "ms", Want::Less, before * 1e3);
    for (name, kind) in [
        ("one engine accepts and never answers", Kind::Hang),
        ("one engine answers after 20 s", Kind::Latency { ms: 20_000 }),
        ("one engine sends endless garbage", Kind::Flood),
    ] {
        fleet.fault(0..1, &Fault::everywhere(kind));
        fleet.fault(0..1, &Fault::everywhere(Kind::EndEvents));
        let cpu = manager.cpu();
        let began = Instant::now();
        let late = everyone(fleet, manager, options).await;
        let cpu = (manager.cpu() - cpu) / began.elapsed().as_secs_f64();
        sheet.note(&format!("p99 of others, {name}"), "ms", Want::Less, late * 1e3);
        eprintln!("   (CPU meanwhile: {:.0} % of a core, RSS {:.0} MiB)", cpu * 100.0, manager.rss());
        fleet.fault(0..1, &Fault::everywhere(Kind::Clear));
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    let deaf = never_reads(manager.addr).await;
    let late = everyone(fleet, manager, options).await;
    sheet.note("p99 of others, one event client never reads", "ms", Want::Less, late * 1e3);
    sheet.note("peak RSS after all that", "MiB", Want::Less, manager.peak());
    drop(deaf);
}

/// Looks, creates, and events at once. The 99th percentile over all calls.
async fn everyone(fleet: &Fleet, manager: &Running, options: &Options) -> f64 {
    let (addr, size) = (manager.addr, fleet.size);
    let each = options.times(1000);
    let looking: Vec<_> = (0..4)
        .map(|client| {
            tokio::spawn(async move {
                let (mut line, mut seconds) = (Line::to(addr), Vec::new());
                for i in 0..each {
                    let engine = 1 + (client * 131 + i * 17) % (size - 1);
                    let asked = Instant::now();
                    let path = format!("/containers/sim-node-{engine}-0/json");
                    if matches!(line.drain("GET", &path, "").await, Ok((200, _))) {
                        seconds.push(asked.elapsed().as_secs_f64());
                    } else {
                        seconds.push(f64::INFINITY);
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                seconds
            })
        })
        .collect();
    let creating = creates::create(addr, 2, options.times(500), ELSEWHERE, Duration::from_secs(30));
    let (made, ()) = tokio::join!(creating, events::churn(fleet, 1, options.times(500)));
    let mut seconds = made.seconds;
    seconds.extend(made.errors.iter().map(|_| f64::INFINITY));
    for client in looking {
        seconds.extend(client.await.unwrap_or_default());
    }
    creates::remove(addr, made.ids).await;
    percentile(&mut seconds, 99)
}

/// An event client that asks and never reads an answer.
async fn never_reads(addr: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(addr).await.ok()?;
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: bench\r\n\r\n").await.ok()?;
    Some(stream)
}
