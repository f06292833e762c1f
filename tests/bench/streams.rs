//! A big stream through the manager: `docker export` of one GiB.

use std::net::SocketAddr;
use std::time::Instant;

use crate::client::Line;
use crate::engines::Fleet;
use crate::sheet::{Sheet, Want};
use crate::subject::Running;

pub async fn measure(fleet: &Fleet, manager: &Running, sheet: &mut Sheet) {
    let direct = export(fleet.addr(0)).await;
    sheet.note("export, straight at the engine", "MiB/s", Want::More, direct);
    let cpu = manager.cpu();
    let through = export(manager.addr).await;
    sheet.note("export", "MiB/s", Want::AtLeast(1300.0), through);
    sheet.note("export: CPU for a GiB", "s", Want::AtMost(0.45), manager.cpu() - cpu);
}

async fn export(addr: SocketAddr) -> f64 {
    let mut line = Line::to(addr);
    let began = Instant::now();
    let size = line.drain("GET", "/containers/sim-node-0-0/export", "").await.map_or(0, |(_, size)| size);
    (size >> 20) as f64 / began.elapsed().as_secs_f64()
}
