//! The operator's side of `/swarmd/v1/`: a question to the manager, and its answer as text or JSON.
//!
//! `target` says where the manager is; `nodes`, `moves`, `explain` and `plan` know what to ask and how to show
//! the answer; `docker_run` and `compose` (with `service`) turn what users write into what Docker's clients would
//! send.

pub mod compose;
pub mod docker_run;
mod drop_in;
mod explain;
mod flags;
pub mod invite;
pub mod join;
mod join_plan;
mod joining;
mod moves;
mod nodes;
pub mod pki;
mod plan;
mod ports;
mod service;
pub mod status;
mod table;
pub mod target;
pub mod tokens;
pub mod users;

use std::path::PathBuf;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::swarmd::progress::{Drain, Rebalance};
use crate::api::swarmd::talk::{Create, Relabel};
use crate::docker::endpoint::Endpoint;
use crate::docker::http::{Client, answered, empty, full, request};
use crate::error::{Error, Kind, Result};
use crate::tls::ClientTls;
pub use moves::Say;
use target::Target;

/// How long the manager may think. A removal waits for a registry.
const DEADLINE: Duration = Duration::from_secs(30);

/// What an operator wants.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Question {
    Nodes,
    Node(String),
    Label(String, Relabel),
    Pause(String, String),
    Resume(String),
    Remove(String, bool),
    Drain(String, Drain),
    Rebalance(Rebalance),
    Explain(String),
    PlanRun(Box<Create>),
    PlanCompose { files: Vec<PathBuf>, project: Option<String> },
    Status(status::Scope),
    JoinToken(Box<invite::Cluster>),
    Tokens(Box<tokens::Tokens>),
    Pki(pki::Pki),
    Users(users::Users),
}

/// An answer, ready to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For the standard output.
    pub text: String,
    /// Whether it is a yes: a plan in which something finds no node is none.
    pub good: bool,
}

impl Answer {
    fn good(text: String) -> Answer {
        Answer { text, good: true }
    }
}

/// Asks, and puts the answer into words, or into JSON as it came. What takes long is told of with `say` meanwhile.
pub async fn ask(target: &Target, question: &Question, json: bool, say: Say<'_>) -> Result<Answer> {
    let manager = || Manager::at(target);
    match question {
        Question::Nodes => nodes::list(&manager()?, json).await,
        Question::Node(name) => nodes::inspect(&manager()?, name, json).await,
        Question::Label(name, change) => nodes::order(&manager()?, name, "labels", change, json).await,
        Question::Pause(name, reason) => nodes::pause(&manager()?, name, reason, json).await,
        Question::Resume(name) => nodes::order(&manager()?, name, "resume", &(), json).await,
        Question::Remove(name, force) => nodes::remove(&manager()?, name, *force, json).await,
        Question::Drain(name, drain) => moves::drain(&manager()?, name, drain, json, say).await,
        Question::Rebalance(wanted) => moves::rebalance(&manager()?, wanted, json, say).await,
        Question::Explain(name) => explain::explain(&manager()?, name, json).await,
        Question::PlanRun(create) => plan::run(&manager()?, create, json).await,
        Question::PlanCompose { files, project } => {
            plan::compose(&manager()?, files, project.as_deref(), json).await
        }
        // These two have something to say also when no manager answers.
        Question::Status(scope) => status::tell(target, scope, json).await,
        Question::Tokens(wanted) => tokens::ask(target, wanted, json).await,
        Question::Pki(wanted) => pki::ask(&manager()?, wanted, json).await,
        Question::Users(wanted) => users::ask(&manager()?, wanted, json).await,
        Question::JoinToken(cluster) => invite::invite(target, cluster, json).await,
    }
}

/// A manager that can be asked.
struct Manager {
    client: Client,
}

impl Manager {
    fn at(target: &Target) -> Result<Manager> {
        // A unix socket is never TLS: who may open it may not be able to read the certificates.
        let tls = match &target.endpoint {
            Endpoint::Unix(_) => None,
            Endpoint::Tcp { .. } => ClientTls::from_config(&target.tls)?,
        };
        Ok(Manager { client: Client::new(target.endpoint.clone(), tls) })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::GET, path, &()).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::POST, path, body).await
    }

    async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::DELETE, path, &()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let path = format!("/swarmd/v1/{path}");
        let text = serde_json::to_string(body).map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
        let mut call = request(method, &path, if text == "null" { empty() } else { full(text) })?;
        call.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (status, answer) = self.client.exchange(call, DEADLINE).await.map_err(|e| self.unreachable(e))?;
        if !status.is_success() {
            return Err(self.refused(answered(status, &answer)));
        }
        serde_json::from_slice(&answer).map_err(|e| self.stranger(&format!("its answer is strange: {e}")))
    }

    fn unreachable(&self, error: Error) -> Error {
        match error.kind {
            Kind::Connect => error.advise("name the manager with -H, SWARMD_HOST or DOCKER_HOST"),
            _ => error,
        }
    }

    fn refused(&self, error: Error) -> Error {
        match error.kind == Kind::Status(StatusCode::NOT_FOUND.as_u16()) && error.message == "page not found"
        {
            true => self.stranger("it does not know /swarmd/v1"),
            false => error,
        }
    }

    fn stranger(&self, why: &str) -> Error {
        let text = format!("{} is no swarmd manager, or an older one: {why}", self.client.endpoint());
        Error::us(Kind::Protocol, text).advise("name the manager with -H, SWARMD_HOST or DOCKER_HOST")
    }
}

/// A name as one segment of a path: addresses hold slashes.
fn segment(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// JSON for people and programs.
fn pretty(value: &impl Serialize) -> Result<Answer> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
    Ok(Answer::good(text + "\n"))
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Manager, Target};
    use crate::config::Tls;
    use crate::scheduler::NodeReason;
    use crate::scheduler::decision::{DecidedBy, Decision, Ranked};

    #[test]
    fn a_socket_takes_no_certificates() {
        let absent = Some(std::path::PathBuf::from("/no/such/file"));
        let tls = Tls {
            tlsverify: true,
            tlscacert: absent.clone(),
            tlscert: absent.clone(),
            tlskey: absent,
            ..Tls::default()
        };
        let at = |endpoint: &str| {
            Manager::at(&Target { endpoint: Endpoint::parse(endpoint).unwrap(), tls: tls.clone() })
        };
        assert!(at("unix:///run/swarmd/swarmd.sock").is_ok());
        assert!(at("tcp://boss:3376").is_err());
    }

    fn reason(node: &str, filter: &str, text: &str) -> NodeReason {
        NodeReason { node: node.into(), addr: "a:1".into(), filter: filter.into(), text: text.into() }
    }

    /// A decision for `node`, by its weight, with two others turned away.
    pub(super) fn decision(node: &str) -> Decision {
        let ranked = |node: &str, weight: i64, containers: usize| Ranked {
            node: node.into(),
            addr: "a:1".into(),
            weight,
            cpu_score: 100,
            memory_score: weight + 900,
            health: 100,
            containers,
            memory_reserved: 256 << 20,
            memory_total: 4 << 30,
            milli_cpus_reserved: 500,
            milli_cpus_total: 4000,
        };
        Decision {
            strategy: "spread".into(),
            node: Some(node.into()),
            decided_by: DecidedBy::Weight,
            soft_dropped: false,
            ranking: vec![ranked(node, -880, 1), ranked("pi9", -850, 12)],
            turned_away: vec![
                reason("pi3", "availability", "paused by the operator since 2026-01-01T00:00:00Z (new disk)"),
                reason("pi4", "constraint", "does not satisfy disk==ssd"),
            ],
            error: None,
        }
    }

    /// No node will do.
    pub(super) fn refusal() -> Decision {
        Decision {
            node: None,
            decided_by: DecidedBy::Nothing,
            ranking: Vec::new(),
            turned_away: vec![reason("pi1", "health", "is Unhealthy: no answer")],
            error: Some("No healthy node available in the cluster".into()),
            ..decision("pi1")
        }
    }
}
