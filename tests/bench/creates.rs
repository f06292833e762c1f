//! Containers made and started, with so many clients at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Line;
use crate::engines::Fleet;
use crate::options::Options;
use crate::sheet::{Sheet, Want, percentile};
use crate::subject::Running;

/// No number of clients is measured for longer than this.
const BUDGET: Duration = Duration::from_secs(20);
/// Keeps v1.2.9 from its crash under parallel creates, and costs everyone the same.
const PINNED: &str =
    r#"{"Image":"busybox","Cmd":["sleep","infinity"],"Env":["constraint:ostype==linux"],"HostConfig":{}}"#;
const AS_IS: &str = r#"{"Image":"busybox","Cmd":["sleep","infinity"],"HostConfig":{}}"#;

/// What became of it.
#[derive(Default)]
pub struct Made {
    pub seconds: Vec<f64>,
    pub ids: Vec<String>,
    pub errors: Vec<String>,
}

pub async fn measure(fleet: &mut Fleet, manager: &Running, options: &Options, sheet: &mut Sheet) {
    for (clients, count) in [(1, 500), (16, 3000), (64, 6000)] {
        fleet.requests();
        let (cpu, engines, began) = (manager.cpu(), fleet.cpu(), Instant::now());
        let mut made = create(manager.addr, clients, options.times(count), PINNED, BUDGET).await;
        let (seconds, number) = (began.elapsed().as_secs_f64(), made.ids.len() as f64);
        let cpu = (manager.cpu() - cpu) / number;
        let name = |what: &str| format!("create+start, {clients} at once: {what}");
        let (p50, rate, late) = match clients {
            1 => (Want::AtMost(1.0), Want::More, Want::Less),
            64 => (Want::Less, Want::AtLeast(2000.0), Want::AtMost(100.0)),
            _ => (Want::Less, Want::AtLeast(2000.0), Want::Less),
        };
        sheet.note(&name("p50"), "ms", p50, percentile(&mut made.seconds, 50) * 1e3);
        sheet.note(&name("p99"), "ms", late, percentile(&mut made.seconds, 99) * 1e3);
        sheet.note(&name("rate"), "/s", rate, number / seconds);
        sheet.note(&name("CPU for each"), "ms", Want::AtMost(0.5), cpu * 1e3);
        sheet.note(
            &name("engine requests for each"),
            "",
            Want::AtMost(3.0),
            fleet.requests() as f64 / number,
        );
        if !made.errors.is_empty() {
            sheet.note(&name("errors"), "", Want::AtMost(0.0), made.errors.len() as f64);
            eprintln!("   such as {}", made.errors[0]);
        }
        eprintln!("   (the engines' own CPU: {:.2} ms each)", (fleet.cpu() - engines) / number * 1e3);
        remove(manager.addr, made.ids).await;
    }
}

/// Ten thousand of them, unpinned.
pub async fn flood(fleet: &mut Fleet, manager: &mut Running, options: &Options, sheet: &mut Sheet) {
    let wanted = options.times(10_000);
    let limit = Duration::from_secs(if options.quick { 20 } else { 120 });
    let made = create(manager.addr, 64, wanted, AS_IS, limit).await;
    let died = !manager.lives();
    sheet.note("10,000 creates, 64 at once: made", "", Want::AtLeast(wanted as f64), made.ids.len() as f64);
    sheet.note("10,000 creates, 64 at once: errors", "", Want::AtMost(0.0), made.errors.len() as f64);
    sheet.note("10,000 creates, 64 at once: crashes", "", Want::AtMost(0.0), f64::from(u8::from(died)));
    if let Some(error) = made.errors.first() {
        eprintln!("   such as {error}");
    }
    eprintln!("   RSS then: {:.0} MiB, {} engine requests", manager.rss(), fleet.requests());
}

/// Makes and starts containers, from `clients` connections at once.
pub async fn create(
    addr: SocketAddr,
    clients: usize,
    count: usize,
    body: &'static str,
    limit: Duration,
) -> Made {
    let next = Arc::new(AtomicUsize::new(0));
    let until = Instant::now() + limit;
    let client = |next: Arc<AtomicUsize>| async move {
        let (mut line, mut made) = (Line::to(addr), Made::default());
        while next.fetch_add(1, Ordering::Relaxed) < count && Instant::now() < until {
            let began = Instant::now();
            match one(&mut line, body).await {
                Ok(id) => {
                    made.seconds.push(began.elapsed().as_secs_f64());
                    made.ids.push(id);
                }
                Err(why) => made.errors.push(why),
            }
            if made.errors.len() > 100 {
                break;
            }
        }
        made
    };
    let running: Vec<_> = (0..clients).map(|_| tokio::spawn(client(Arc::clone(&next)))).collect();
    let mut all = Made::default();
    for client in running {
        let Ok(made) = client.await else { continue };
        all.seconds.extend(made.seconds);
        all.ids.extend(made.ids);
        all.errors.extend(made.errors);
    }
    all
}

async fn one(line: &mut Line, body: &str) -> Result<String, String> {
    let created = line.call("POST", "/containers/create", body).await.map_err(|e| format!("create: {e}"))?;
    let text = || String::from_utf8_lossy(&created.body).trim().to_string();
    if created.status != 201 {
        return Err(format!("create: {} {}", created.status, text()));
    }
    let answer: Value = serde_json::from_slice(&created.body).map_err(|e| e.to_string())?;
    let id = answer["Id"].as_str().unwrap_or_default().to_string();
    let started = line.drain("POST", &format!("/containers/{id}/start"), "").await;
    match started {
        Ok((204, _)) => Ok(id),
        Ok((status, _)) => Err(format!("start: {status}")),
        Err(e) => Err(format!("start: {e}")),
    }
}

/// Takes them away again.
pub async fn remove(addr: SocketAddr, ids: Vec<String>) {
    let shares: Vec<Vec<String>> =
        ids.chunks(ids.len().div_ceil(16).max(1)).map(<[String]>::to_vec).collect();
    let removing = shares.into_iter().map(|share| {
        tokio::spawn(async move {
            let mut line = Line::to(addr);
            for id in share {
                let _ = line.drain("DELETE", &format!("/containers/{id}?force=1"), "").await;
            }
        })
    });
    for client in removing.collect::<Vec<_>>() {
        let _ = client.await;
    }
}
