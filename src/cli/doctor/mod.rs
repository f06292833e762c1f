//! `swarmd check`: a doctor. It looks at the configuration, at this machine and at whoever the configuration names, and
//! says for each thing whether it is right, and what to do if it is not.
//!
//! It changes nothing: it makes no file, opens no port, and connects to none that a socket unit of ours may hold (that
//! would start the daemon). All looks are taken at once, each with a deadline, so it is done within seconds.

pub mod engine;
pub mod files;
pub mod finding;
pub mod machine;
pub mod network;
pub mod ports;
pub mod state;

use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::Outcome;
use crate::config::load::{Loaded, Sources};
use finding::Finding;

/// Each look takes at most so long.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// Who waits longer than this is told for what.
const SLOW: Duration = Duration::from_millis(1500);

/// What is asked of the doctor.
#[derive(Debug, Clone)]
pub struct Checkup {
    /// What to read.
    pub sources: Sources,
    /// The configuration and the files that it names, nothing else.
    pub offline: bool,
    /// Whether to print JSON.
    pub json: bool,
}

/// Looks and prints. `say` is told what is still being looked at when that takes long.
pub async fn check(checkup: &Checkup, say: &mut dyn FnMut(&str)) -> Outcome {
    let findings = findings(&checkup.sources, checkup.offline, say).await;
    let stdout = if checkup.json { finding::json(&findings) } else { finding::lines(&findings) };
    Outcome { stdout, stderr: String::new(), code: finding::code(&findings) }
}

/// All findings.
pub async fn findings(sources: &Sources, offline: bool, say: &mut dyn FnMut(&str)) -> Vec<Finding> {
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        // What else there is to see depends on it.
        Err(problems) => {
            let failed = problems.iter().map(|problem| Finding::fail("config", problem.to_string(), ""));
            return failed.collect();
        }
    };
    let mut found = files::look(&loaded);
    if !offline {
        found.extend(around(&loaded, say).await);
    }
    found
}

type Look<'a> = (&'static str, Pin<Box<dyn Future<Output = Vec<Finding>> + 'a>>);

/// This machine, and whoever is named; in a fixed order, though all at once.
async fn around(loaded: &Loaded, say: &mut dyn FnMut(&str)) -> Vec<Finding> {
    let config = &loaded.config;
    let looks: Vec<Look<'_>> = vec![
        ("clock", Box::pin(async { machine::clock() })),
        ("name", Box::pin(async { machine::name() })),
        ("memory", Box::pin(async { machine::memory(config) })),
        ("files", Box::pin(async { machine::descriptors() })),
        ("state", Box::pin(async { state::look(config) })),
        ("ports", Box::pin(async { ports::look(config) })),
        ("dns", Box::pin(network::names(config))),
        ("docker", Box::pin(engine::look(config))),
        ("discovery", Box::pin(network::discovery(config))),
        ("managers", Box::pin(network::managers(config))),
    ];
    let mut answers: Vec<Option<Vec<Finding>>> = looks.iter().map(|_| None).collect();
    let names: Vec<&str> = looks.iter().map(|(name, _)| *name).collect();
    let each = looks.into_iter().enumerate().map(|(at, (_, look))| async move { (at, look.await) });
    let mut looking: FuturesUnordered<_> = each.collect();
    let slow = tokio::time::sleep(SLOW);
    tokio::pin!(slow);
    let mut told = false;
    loop {
        tokio::select! {
            answer = looking.next() => match answer {
                Some((at, findings)) => answers[at] = Some(findings),
                None => break,
            },
            () = &mut slow, if !told => {
                told = true;
                let open = names.iter().zip(&answers).filter(|(_, a)| a.is_none()).map(|(name, _)| *name);
                say(&format!("still looking at: {}\n", open.collect::<Vec<_>>().join(", ")));
            }
        }
    }
    answers.into_iter().flatten().flatten().collect()
}
