//! Engines that die, hang and come back: how long until the manager says so, with its default intervals.

use std::time::{Duration, Instant};

use crate::client;
use crate::engines::Fleet;
use crate::options::Options;
use crate::sheet::{Sheet, Want};
use crate::sim::fault::{Fault, Kind};
use crate::subject::Running;

pub async fn measure(fleet: &mut Fleet, manager: &Running, options: &Options, sheet: &mut Sheet) {
    let dying = 0..fleet.size.div_ceil(10);
    let count = dying.len();
    let began = Instant::now();
    fleet.fault(dying.clone(), &Fault::everywhere(Kind::Refuse));
    let first = until(manager, began, options, |unhealthy| unhealthy >= 1).await;
    sheet.note("10 % refused: first Unhealthy", "s", Want::AtMost(2.0), first);
    let all = until(manager, began, options, |unhealthy| unhealthy >= count).await;
    sheet.note("10 % refused: all Unhealthy", "s", Want::AtMost(2.0), all);
    let began = Instant::now();
    fleet.fault(dying, &Fault::everywhere(Kind::Listen));
    let back = until(manager, began, options, |unhealthy| unhealthy == 0).await;
    sheet.note("10 % back: all Healthy", "s", Want::AtMost(3.0), back);
    let began = Instant::now();
    fleet.fault(0..1, &Fault::everywhere(Kind::Hang));
    fleet.fault(0..1, &Fault::everywhere(Kind::MuteEvents));
    let hung = until(manager, began, options, |unhealthy| unhealthy >= 1).await;
    sheet.note("one hangs: Unhealthy", "s", Want::AtMost(15.0), hung);
    let began = Instant::now();
    fleet.fault(0..1, &Fault::everywhere(Kind::Clear));
    let back = until(manager, began, options, |unhealthy| unhealthy == 0).await;
    sheet.note("it answers again: Healthy", "s", Want::AtMost(3.0), back);
    // All at once, as when a switch restarts: everybody's streams end, nobody is gone.
    fleet.requests();
    let cpu = manager.cpu();
    fleet.fault(0..fleet.size, &Fault::everywhere(Kind::EndEvents));
    tokio::time::sleep(Duration::from_secs(5)).await;
    sheet.note("all streams end at once: engine requests in 5 s", "", Want::Less, fleet.requests() as f64);
    sheet.note("all streams end at once: CPU in 5 s", "s", Want::Less, manager.cpu() - cpu);
}

/// Seconds since `began` until the number of nodes that are not Healthy is as wanted.
async fn until(manager: &Running, began: Instant, options: &Options, wanted: impl Fn(usize) -> bool) -> f64 {
    while began.elapsed() < Duration::from_secs(options.patience) {
        if let Ok(info) = client::get(manager.addr, "/info").await {
            let text = String::from_utf8_lossy(&info.body);
            if wanted(text.matches("\"Unhealthy\"").count() + text.matches("\"Pending\"").count()) {
                return began.elapsed().as_secs_f64();
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    f64::INFINITY
}
