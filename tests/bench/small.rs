//! What an empty manager and an agent need.

use std::time::Duration;

use crate::sheet::{Sheet, Want};
use crate::sim::{Profile, SimEngine};
use crate::subject::Subject;

pub async fn measure(subject: &Subject, sheet: &mut Sheet) {
    let home = tempfile::tempdir().unwrap();
    let nodes = home.path().join("nodes");
    std::fs::write(&nodes, "").unwrap();
    let manager = subject.manage(&nodes);
    if manager.answers().await {
        tokio::time::sleep(Duration::from_secs(2)).await;
        sheet.note("RSS of an empty manager", "MiB", Want::AtMost(5.0), manager.rss());
    }
    // The agent registers through the token registry that our manager hosts; any other store would do.
    let Ok(token) = crate::client::Line::to(manager.addr).call("POST", "/v1/clusters", "").await else {
        return;
    };
    let token = String::from_utf8_lossy(&token.body).trim().trim_matches('"').to_string();
    if !subject.is_ours() || token.is_empty() {
        return;
    }
    let engine = SimEngine::start(Profile::default()).await.unwrap();
    let agent = subject.join(engine.addr, &format!("token://{}/{token}", manager.addr));
    tokio::time::sleep(Duration::from_secs(3)).await;
    sheet.note("RSS of an agent", "MiB", Want::AtMost(4.0), agent.rss());
}
