//! The operator's command lines: `node …`, `explain`, `plan`, `status`, `join-token`. Words in, a target and a
//! question out.

use std::path::{Path, PathBuf};

use super::commands::{CommandKind, Spec};
use super::flags::{ASK, DRY_RUN, FORCE, HELP, MOVES, PATIENCE, REASON, TLS};
use super::grammar::Parsed;
use super::{Command, Outcome, classic, enroll, users};
use crate::api::swarmd::progress::{self, Drain, Rebalance};
use crate::api::swarmd::talk::Relabel;
use crate::client::status::Scope;
use crate::client::target::{self, Env, Target};
use crate::client::{Question, docker_run};
use crate::config::Config;
use crate::config::check::Purpose;
use crate::config::file;
use crate::config::load::Sources;
use crate::config::local::AGENT_FILE;
use crate::config::problem::{Problem, into_error};
use crate::config::units;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Ask {
    Nodes,
    Node,
    Label,
    Pause,
    Resume,
    Drain,
    Rebalance,
    Remove,
    Explain,
    Plan,
    Status,
    JoinToken,
    PkiStatus,
    UserAdd,
    Users,
    UserRemove,
    PkiRotate,
    PkiRevoke,
}

impl Ask {
    /// What stands behind the flags, for the help.
    pub fn operand(self) -> &'static str {
        match self {
            Ask::Nodes | Ask::Rebalance | Ask::Status => "",
            Ask::JoinToken => " agent|manager|ls|revoke ID|rotate agent|manager",
            Ask::PkiStatus | Ask::PkiRotate | Ask::Users => "",
            Ask::UserAdd | Ask::UserRemove => " NAME",
            Ask::PkiRevoke => " agent|manager|user NAME",
            Ask::Node | Ask::Pause | Ask::Resume | Ask::Drain | Ask::Remove => " NODE",
            Ask::Label => " NODE KEY=VALUE|KEY- ...",
            Ask::Explain => " CONTAINER",
            Ask::Plan => " COMPOSE-FILE...|-- run [docker run flags] IMAGE",
        }
    }
}

/// The commands below `node`.
pub static NODE: &[Spec] = &[
    Spec {
        name: "node ls",
        short: "",
        summary: "List the nodes, and what was said about them",
        flags: &[ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::Nodes),
    },
    Spec {
        name: "node inspect",
        short: "",
        summary: "Show all about one node",
        flags: &[ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::Node),
    },
    Spec {
        name: "node label",
        short: "",
        summary: "Set labels of a node (KEY=VALUE) or take them off (KEY-)",
        flags: &[ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::Label),
    },
    Spec {
        name: "node pause",
        short: "",
        summary: "Let a node take no new containers; what is there runs on",
        flags: &[REASON, ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::Pause),
    },
    Spec {
        name: "node drain",
        short: "",
        summary: "Let a node take no new containers, and move away what can be moved",
        flags: &[DRY_RUN, PATIENCE, REASON, ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::Drain),
    },
    Spec {
        name: "node resume",
        short: "",
        summary: "Let a node take new containers again",
        flags: &[ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::Resume),
    },
    Spec {
        name: "node rm",
        short: "",
        summary: "Take a node out of the cluster and forget what was said about it",
        flags: &[FORCE, ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::Remove),
    },
];

/// Evens out the load; beside `node`.
pub const REBALANCE: Spec = Spec {
    name: "rebalance",
    short: "",
    summary: "Move a few containers so that the nodes are evenly used",
    flags: &[DRY_RUN, MOVES, PATIENCE, ASK, TLS, &[HELP]],
    kind: CommandKind::Ask(Ask::Rebalance),
};

/// Makes a command of the words.
pub fn command(
    program: &str,
    spec: &Spec,
    ask: Ask,
    parsed: &Parsed,
    env: Env<'_>,
) -> Result<Command, Outcome> {
    let misused = |text| {
        let hint = format!("usage: {program} {} [OPTIONS]{}", spec.name, ask.operand());
        Outcome::failure(format!("{text}\n{hint}"), 64)
    };
    // The invitation is to the cluster of this machine, wherever its user's docker commands go.
    let without_docker = |name: &str| if name == "DOCKER_HOST" { None } else { env(name) };
    let found = match ask {
        Ask::JoinToken
        | Ask::PkiStatus
        | Ask::PkiRotate
        | Ask::PkiRevoke
        | Ask::UserAdd
        | Ask::Users
        | Ask::UserRemove => find_manager(program, parsed, &without_docker)?,
        _ => find_manager(program, parsed, env)?,
    };
    let question = question(ask, parsed, &found).map_err(misused)?;
    let target = found.target;
    let json = parsed.switch("json").unwrap_or(false);
    Ok(Command::Ask { target: Box::new(target), question, json })
}

fn question(ask: Ask, parsed: &Parsed, manager: &Manager) -> Result<Question, String> {
    let words = &parsed.positionals;
    let one = |what: &str| match words.as_slice() {
        [one] if !one.is_empty() => Ok(one.clone()),
        [] => Err(format!("{what} is missing")),
        _ => Err(format!("one {what}, not {}: {}", words.len(), words.join(" "))),
    };
    match ask {
        Ask::Nodes if words.is_empty() => Ok(Question::Nodes),
        Ask::Nodes => Err(format!("node ls takes no arguments, got {}", words.join(" "))),
        Ask::Rebalance if words.is_empty() => Ok(Question::Rebalance(rebalance(parsed)?)),
        Ask::Rebalance => Err(format!("rebalance takes no arguments, got {}", words.join(" "))),
        Ask::Drain => {
            let node = one("NODE")?;
            let reason = parsed.last("reason").unwrap_or_default().to_string();
            let dry_run = parsed.switch("dry-run").unwrap_or(false);
            Ok(Question::Drain(node, Drain { dry_run, reason, timeout: seconds(parsed)? }))
        }
        Ask::Node => one("NODE").map(Question::Node),
        Ask::Resume => one("NODE").map(Question::Resume),
        Ask::Explain => one("CONTAINER").map(Question::Explain),
        Ask::Pause => {
            let reason = parsed.last("reason").unwrap_or_default().to_string();
            Ok(Question::Pause(one("NODE")?, reason))
        }
        Ask::Remove => Ok(Question::Remove(one("NODE")?, parsed.switch("force").unwrap_or(false))),
        Ask::Label => match words.split_first() {
            Some((node, labels)) if !labels.is_empty() => Ok(Question::Label(node.clone(), relabel(labels)?)),
            _ => Err("NODE and at least one KEY=VALUE or KEY- are needed".into()),
        },
        Ask::Plan => plan(words, parsed.last("project-name")),
        Ask::Status if words.is_empty() => Ok(Question::Status(scope(manager))),
        Ask::Status => Err(format!("status takes no arguments, got {}", words.join(" "))),
        Ask::JoinToken => enroll::join_token(parsed, &manager.config, manager.named),
        Ask::PkiStatus | Ask::PkiRotate | Ask::PkiRevoke => enroll::pki(ask, parsed),
        Ask::UserAdd | Ask::Users | Ask::UserRemove => users::user(ask, parsed),
    }
}

fn rebalance(parsed: &Parsed) -> Result<Rebalance, String> {
    let dry_run = parsed.switch("dry-run").unwrap_or(false);
    let max_moves = match parsed.last("max-moves") {
        None => Rebalance::default().max_moves,
        Some(text) => match text.parse() {
            Ok(n) if n > 0 => n,
            _ => return Err(format!("invalid --max-moves {text:?}: a number from 1")),
        },
    };
    Ok(Rebalance { dry_run, max_moves, timeout: seconds(parsed)? })
}

/// Whole seconds of `--timeout`, begun ones included.
fn seconds(parsed: &Parsed) -> Result<u64, String> {
    let Some(text) = parsed.last("timeout") else { return Ok(progress::PATIENCE) };
    let nanos = units::parse_nanos(text).map_err(|e| format!("invalid --timeout: {e}"))?;
    match u64::try_from(nanos) {
        Ok(nanos) if nanos > 0 => Ok(nanos.div_ceil(1_000_000_000)),
        _ => Err(format!("invalid --timeout {text}: it must be longer than nothing")),
    }
}

/// A manager that is named must be there; so must what the configuration of this machine says. An agent that merely
/// runs here is told of, too.
fn scope(manager: &Manager) -> Scope {
    let config = &manager.config;
    let files = ["/run/swarmd".as_ref(), config.state_dir.as_path()];
    Scope {
        manager: manager.named || config.role.manages(),
        agent: !manager.named && config.registers(),
        files: files.iter().map(|directory| directory.join(AGENT_FILE)).collect(),
    }
}

fn relabel(words: &[String]) -> Result<Relabel, String> {
    let mut change = Relabel::default();
    for word in words {
        match (word.split_once('='), word.strip_suffix('-')) {
            (Some((key, value)), _) => {
                change.set.insert(key.to_string(), value.to_string());
            }
            (None, Some(key)) if !key.is_empty() => change.remove.push(key.to_string()),
            _ => return Err(format!("{word:?} is neither KEY=VALUE nor KEY-")),
        }
    }
    Ok(change)
}

/// `run …`, also as it stands in a shell's history: `docker run …`, `docker container create …`.
fn plan(words: &[String], project: Option<&str>) -> Result<Question, String> {
    let mut rest = words;
    for word in ["docker", "container"] {
        rest = rest.split_first().filter(|(first, _)| *first == word).map_or(rest, |(_, tail)| tail);
    }
    if let Some((verb, flags)) = rest.split_first()
        && matches!(verb.as_str(), "run" | "create")
    {
        let create = docker_run::parse(flags, &read)?;
        return Ok(Question::PlanRun(Box::new(create)));
    }
    match words.is_empty() {
        true => Err("name a compose file, or a docker run command line behind --".into()),
        false => Ok(Question::PlanCompose {
            files: words.iter().map(PathBuf::from).collect(),
            project: project.map(str::to_string),
        }),
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

/// A manager to ask.
struct Manager {
    target: Target,
    /// Whether somebody named it.
    named: bool,
    /// What flags say; if it was not named, also what the configuration of this machine says.
    config: Config,
}

/// The manager that flags or environment name, else the one of this machine's configuration.
fn find_manager(program: &str, parsed: &Parsed, env: Env<'_>) -> Result<Manager, Outcome> {
    let mut sources = Sources::new(Purpose::Create, program);
    sources.flags = classic::settings(parsed);
    let named = target::named(parsed.last("host"), env);
    if named.is_none() {
        let path = parsed.last("config").unwrap_or(file::DEFAULT_PATH);
        sources.file = Some((PathBuf::from(path), parsed.has("config")));
    }
    let loaded =
        sources.load().map_err(|problems: Vec<Problem>| Outcome::of_error(&into_error(&problems)))?;
    let config = loaded.config;
    let target = match &named {
        Some(host) => target::of_name(host, config.tls.clone(), env).map_err(|e| Outcome::of_error(&e))?,
        None => target::of_config(&config),
    };
    Ok(Manager { target, named: named.is_some(), config })
}

#[cfg(test)]
#[path = "operate_tests.rs"]
mod tests;
