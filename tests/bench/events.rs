//! The event stream while containers come and go: how late events are, and whether any is missing.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http_body_util::BodyExt;

use crate::client::Line;
use crate::engines::Fleet;
use crate::options::Options;
use crate::sheet::{Sheet, Want, percentile};
use crate::subject::Running;

/// Restarts for one number of clients.
const RESTARTS: usize = 1000;
/// Pause between two.
const PAUSE: Duration = Duration::from_millis(4);

pub async fn measure(fleet: &Fleet, manager: &Running, options: &Options, sheet: &mut Sheet) {
    for (clients, want) in [(1, Want::AtMost(1.0)), (50, Want::AtMost(4.0)), (100, Want::Less)] {
        let restarts = options.times(RESTARTS);
        let listening: Vec<_> = (0..clients).map(|_| tokio::spawn(listen(manager.addr, restarts))).collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let cpu = manager.cpu();
        churn(fleet, 0, restarts).await;
        let (mut late, mut missing) = (Vec::new(), 0);
        for client in listening {
            let heard = client.await.unwrap_or_default();
            missing += restarts - heard.len().min(restarts);
            late.extend(heard);
        }
        let cpu = (manager.cpu() - cpu) / restarts as f64;
        let name = |what: &str| format!("events, {clients} clients: {what}");
        sheet.note(&name("lag p50"), "ms", want, percentile(&mut late, 50) * 1e3);
        sheet.note(&name("lag p99"), "ms", Want::Less, percentile(&mut late, 99) * 1e3);
        sheet.note(&name("lost"), "", Want::AtMost(0.0), missing as f64);
        sheet.note(&name("CPU for each restart"), "ms", Want::Less, cpu * 1e3);
    }
}

/// Restarts containers past the manager, on the engines from `first` on.
pub async fn churn(fleet: &Fleet, first: usize, restarts: usize) {
    let mut lines: Vec<Line> = (0..fleet.size).map(|i| Line::to(fleet.addr(i))).collect();
    let mut next = Instant::now();
    for i in 0..restarts {
        let engine = first + i * 31 % (fleet.size - first);
        let name = format!("sim-node-{engine}-{}", i * 7 % fleet.containers);
        let _ = lines[engine].drain("POST", &format!("/containers/{name}/restart?t=0"), "").await;
        next += PAUSE;
        tokio::time::sleep_until(next.into()).await;
    }
}

/// Seconds from each start of a container to its event.
async fn listen(addr: SocketAddr, wanted: usize) -> Vec<f64> {
    let mut line = Line::to(addr);
    let Ok(response) = line.open("GET", "/events", "").await else { return Vec::new() };
    let (mut body, mut late, mut rest) = (response.into_body(), Vec::with_capacity(wanted), Vec::new());
    while late.len() < wanted {
        let Ok(Some(Ok(frame))) = tokio::time::timeout(Duration::from_secs(10), body.frame()).await else {
            break;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        rest.extend_from_slice(frame.data_ref().map_or(&[], |d| d));
        let mut messages = serde_json::Deserializer::from_slice(&rest).into_iter::<Heard>();
        let mut used = 0;
        while let Some(Ok(heard)) = messages.next() {
            used = messages.byte_offset();
            if heard.action == "start" {
                late.push((now - heard.time) as f64 / 1e9);
            }
        }
        rest.drain(..used);
    }
    late
}

#[derive(serde::Deserialize)]
struct Heard {
    #[serde(rename = "Action", default)]
    action: String,
    #[serde(rename = "timeNano", default)]
    time: i64,
}
