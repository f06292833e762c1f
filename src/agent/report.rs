//! How the agent stands, in one line for the supervisor and in full for `swarmd status`: pure, and the file in which
//! the latter is kept.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch::Receiver;

use crate::agent::engine::Pulse;
use crate::agent::own::Own;
use crate::agent::registrar::Plan;
use crate::agent::registrars::Look;
use crate::api::swarmd::talk;
use crate::clock;
use crate::error::Error;
use crate::state_file;

/// How the agent stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Whether what readiness promises is done: a first attempt, well or badly. The random pause before it counts.
    pub begun: bool,
    /// One line for a person, such as the supervisor's status.
    pub text: String,
    /// In full.
    pub agent: talk::Agent,
}

/// Makes the report. `problem`: why there is nowhere to register.
pub(super) fn compose(plan: &Plan, places: &[Look], problem: Option<&Error>, engine: &Pulse) -> Report {
    let Plan { own, heartbeat, .. } = plan;
    let text = match (&engine.entry, &engine.error) {
        (Some(at), Some(error)) => {
            format!(
                "{}; the engine at {at} does not answer: {}",
                registered(own, *heartbeat, places, problem),
                error.message
            )
        }
        _ => registered(own, *heartbeat, places, problem),
    };
    let begun = problem.is_some() || places.iter().any(|p| p.standing.attempts > 0);
    Report { begun, text, agent: told(plan, places, problem, engine) }
}

fn registered(own: &Own, heartbeat: Duration, places: &[Look], problem: Option<&Error>) -> String {
    let good: Vec<&Look> =
        places.iter().filter(|p| p.standing.attempts > 0 && p.standing.error.is_none()).collect();
    let bad = places.iter().find_map(|p| p.standing.error.as_ref().map(|e| (p, e)));
    let entry = good
        .iter()
        .find_map(|p| p.standing.entry.as_ref())
        .map_or_else(|| own.to_string(), ToString::to_string);
    let every = printed(heartbeat);
    match (good.as_slice(), bad, problem) {
        ([], Some((_, error)), _) | ([], None, Some(error)) => {
            format!("{entry} is not registered: {}", error.message)
        }
        ([], None, None) => format!("{entry} is being registered"),
        ([_], None, _) if places.len() == 1 => format!("{entry} is registered, every {every}"),
        (good, bad, _) => {
            let names: Vec<&str> = good.iter().map(|p| p.name.as_str()).collect();
            let lost = bad.map(|(p, error)| format!("; not with {}: {}", p.name, error.message));
            format!(
                "{entry} is registered with {}, every {every}{}",
                names.join(", "),
                lost.unwrap_or_default()
            )
        }
    }
}

fn told(plan: &Plan, places: &[Look], problem: Option<&Error>, engine: &Pulse) -> talk::Agent {
    let since = |at: i64| (at > 0).then(|| clock::rfc3339(at));
    let registration = |place: &Look| talk::Registration {
        manager: place.name.clone(),
        address: place.address.clone(),
        entry: place
            .standing
            .entry
            .as_ref()
            .filter(|_| place.standing.error.is_none())
            .map(ToString::to_string),
        error: place.standing.error.as_ref().map(ToString::to_string),
        since: since(place.standing.since),
    };
    talk::Agent {
        version: env!("CARGO_PKG_VERSION").to_string(),
        pid: std::process::id(),
        advertise: plan.own.to_string(),
        front: plan.front.clone(),
        engine: talk::LocalEngine {
            address: engine.entry.as_ref().map(ToString::to_string),
            error: engine.error.as_ref().map(ToString::to_string),
            since: since(engine.since),
        },
        managers: places.iter().map(registration).collect(),
        problem: problem.map(ToString::to_string),
    }
}

/// Keeps the file in line with the reports, written when something has changed and not at each heartbeat; takes it
/// away when they end.
pub(super) async fn keep_file(path: PathBuf, mut reports: Receiver<Option<Report>>) {
    let mut written = None;
    while reports.changed().await.is_ok() {
        let Some(agent) = reports.borrow_and_update().as_ref().map(|r| r.agent.clone()) else { continue };
        if written.as_ref() == Some(&agent) {
            continue;
        }
        let (path, content) = (path.clone(), serde_json::to_vec_pretty(&agent).unwrap_or_default());
        written = Some(agent);
        let saved =
            tokio::task::spawn_blocking(move || state_file::save(&path, "the agent's status", &content));
        if let Ok(Err(error)) = saved.await {
            tracing::debug!("`swarmd status` will know nothing of this agent: {error}");
        }
    }
    let _ = std::fs::remove_file(&path);
}

/// A duration in Go's notation, as the classic log has it: `1m0s`. Below a minute with milliseconds.
pub(super) fn printed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = format!("{}.{:03}", seconds % 60, duration.subsec_millis());
    let rest = rest.trim_end_matches('0').trim_end_matches('.');
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
