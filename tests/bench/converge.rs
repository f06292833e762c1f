//! From the start of the manager to a whole picture of the cluster; and what it costs when nothing happens.

use std::time::{Duration, Instant};

use crate::client;
use crate::engines::Fleet;
use crate::options::Options;
use crate::sheet::{Sheet, Want};
use crate::subject::{Running, Subject};

/// How often the manager is asked how far it is: seldom, since that costs it something.
const LOOK: Duration = Duration::from_millis(50);

pub async fn measure(
    fleet: &mut Fleet,
    subject: &Subject,
    options: &Options,
    sheet: &mut Sheet,
) -> Option<Running> {
    fleet.requests();
    let engines_cpu = fleet.cpu();
    let manager = subject.manage(&fleet.file);
    let limit = Instant::now() + Duration::from_secs(300);
    while healthy(&manager).await != Some((fleet.size, fleet.size * fleet.containers)) {
        if Instant::now() > limit {
            eprintln!("   it never knows all nodes: {:?}", healthy(&manager).await);
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
    sheet.note("converge: time", "s", Want::AtMost(1.5), manager.started.elapsed().as_secs_f64());
    let cpu = manager.cpu();
    sheet.note("converge: CPU", "s", Want::AtMost(1.2), cpu);
    sheet.note("converge: engine requests", "", Want::AtMost(8000.0), fleet.requests() as f64);
    eprintln!("   (the engines' own CPU: {:.2} s)", fleet.cpu() - engines_cpu);
    tokio::time::sleep(Duration::from_secs(if options.quick { 3 } else { 10 })).await;
    sheet.note("CPU in the 10 s after that", "s", Want::Less, manager.cpu() - cpu);
    sheet.note("RSS after converging", "MiB", Want::AtMost(64.0), manager.rss());
    Some(manager)
}

/// Numbers of healthy nodes and of containers, as the manager tells.
pub async fn healthy(manager: &Running) -> Option<(usize, usize)> {
    let info = client::get(manager.addr, "/info").await.ok()?;
    let text = std::str::from_utf8(&info.body).ok()?;
    let (_, count) = text.split_once("\"Containers\":")?;
    let digits: String = count.chars().take_while(char::is_ascii_digit).collect();
    Some((text.matches("\"Healthy\"").count(), digits.parse().ok()?))
}

/// Less than this in a second is what is done when nothing happens.
const QUIET: u64 = 100;

pub async fn idle(fleet: &mut Fleet, manager: &Running, options: &Options, sheet: &mut Sheet) {
    // What is read after converging, without anybody's waiting, is no idleness.
    fleet.requests();
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if fleet.requests() < QUIET {
            break;
        }
    }
    sheet.note("quiet after", "s", Want::Less, manager.started.elapsed().as_secs_f64());
    sheet.note("quiet: CPU since the start", "s", Want::Less, manager.cpu());
    let (cpu, began) = (manager.cpu(), Instant::now());
    tokio::time::sleep(Duration::from_secs(options.idle)).await;
    let seconds = began.elapsed().as_secs_f64();
    sheet.note("idle: CPU", "% of a core", Want::AtMost(0.4), (manager.cpu() - cpu) / seconds * 100.0);
    sheet.note("idle: engine requests", "/s", Want::AtMost(20.0), fleet.requests() as f64 / seconds);
}
