//! "No node" as an explanation: the classic text that clients match, then each node with what stood in its
//! way.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::cluster::View;
use crate::engine::Node;
use crate::error::{Error, Kind};
use crate::scheduler::Question;
use crate::scheduler::candidate::Candidate;
use crate::scheduler::explain::Objection;
use crate::scheduler::filter::{Rule, availability};

/// Nodes that are named in an error; more are only counted.
const NAMED_NODES: usize = 50;

/// Why no node takes a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The classic text: one line, or one and a list of conditions.
    pub message: String,
    /// Every node that is known, in the view's order.
    pub reasons: Vec<NodeReason>,
}

/// Why one node does not take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReason {
    /// Its name; its address if the name is not known yet.
    pub node: String,
    /// Its address.
    pub addr: String,
    /// The first filter that turned it away, or `resources`.
    pub filter: String,
    /// What stood in the way, with numbers.
    pub text: String,
}

/// A node turned away: by which rule (`None` for resources), and what it objects to.
struct Refused<'c> {
    node: &'c Node,
    rule: Option<usize>,
    objection: Objection<'c>,
}

impl Rejection {
    /// From a question that no node answered.
    pub(super) fn new(view: &View, question: &Question<'_>) -> Rejection {
        let candidates: Vec<_> = question.field.candidates().collect();
        let refused = refusals(question, &candidates, false);
        Rejection {
            message: classic(question, &refused),
            reasons: reasons(view, question, &refused, &HashSet::new()),
        }
    }

    /// The error for the client: the classic text, then a line for each reason with the nodes it holds for.
    pub fn into_error(self) -> Error {
        let mut lines: Vec<(&str, Vec<&str>)> = Vec::new();
        for reason in self.reasons.iter().take(NAMED_NODES) {
            match lines.iter_mut().find(|(text, _)| *text == reason.text) {
                Some((_, nodes)) => nodes.push(&reason.node),
                None => lines.push((&reason.text, vec![&reason.node])),
            }
        }
        let mut message = self.message.clone();
        for (text, nodes) in lines {
            message.push_str(&format!("\n  {}: {text}", nodes.join(", ")));
        }
        if self.reasons.len() > NAMED_NODES {
            message.push_str(&format!("\n  and {} more nodes", self.reasons.len() - NAMED_NODES));
        }
        Error::client(Kind::NoNode, message)
    }
}

/// The reasons of the nodes of a view that are not among `chosen`.
pub(super) fn turned_away(
    view: &View,
    question: &Question<'_>,
    soft: bool,
    chosen: &HashSet<&str>,
) -> Vec<NodeReason> {
    let candidates: Vec<_> = question.field.candidates().collect();
    reasons(view, question, &refusals(question, &candidates, soft), chosen)
}

/// Takes each node through the filters, up to the first that objects; then asks for its resources.
fn refusals<'q>(question: &'q Question<'_>, candidates: &'q [Candidate<'_>], soft: bool) -> Vec<Refused<'q>> {
    let refusal = |candidate: &'q Candidate<'_>| {
        let rules = question.rules.iter().enumerate();
        let objection = rules.map(|(i, r)| (Some(i), r.check(candidate, soft))).find(|(_, r)| r.is_err());
        let (rule, result) =
            objection.unwrap_or_else(|| (None, question.judge.score(&candidate.standing()).map(drop)));
        Some(Refused { node: candidate.node, rule, objection: result.err()? })
    };
    candidates.iter().filter_map(refusal).collect()
}

/// The filters run one after the other, each on what the one before left over. So the one that left nothing
/// over is the last that turned any node away.
fn classic(question: &Question<'_>, refused: &[Refused<'_>]) -> String {
    let rules = &question.rules;
    let failing = match refused.is_empty() {
        true => rules.iter().position(|r| r.fails_without_nodes()),
        false if refused.iter().any(|r| r.rule.is_none()) => {
            return "no resources available to schedule container".into();
        }
        false => refused.iter().filter_map(|r| r.rule).max(),
    };
    match failing {
        None => "No nodes available in the cluster".into(),
        Some(i) if rules[i].name() == availability::NAME => "No node takes new containers".into(),
        Some(i) if rules[i].name() == "health" => "No healthy node available in the cluster".into(),
        Some(i) => {
            let list: String = rules[..=i].iter().map(|r| r.describe()).collect();
            format!("Unable to find a node that satisfies the following conditions {list}")
        }
    }
}

fn reasons(
    view: &View,
    question: &Question<'_>,
    refused: &[Refused<'_>],
    chosen: &HashSet<&str>,
) -> Vec<NodeReason> {
    let by_addr: HashMap<_, _> = refused.iter().map(|r| (r.node.addr.as_str(), r)).collect();
    let left = view.nodes().filter(|n| !chosen.contains(n.addr.as_str()));
    let reason = |node: &std::sync::Arc<Node>| match by_addr.get(node.addr.as_str()) {
        Some(refused) => explained(refused, &question.rules),
        None => unknown(node),
    };
    left.map(reason).collect()
}

fn explained(refused: &Refused<'_>, rules: &[Box<dyn Rule + '_>]) -> NodeReason {
    NodeReason {
        node: refused.node.name().to_string(),
        addr: refused.node.addr.clone(),
        filter: refused.rule.map_or("resources", |i| rules[i].name()).to_string(),
        text: refused.objection.to_string(),
    }
}

/// A node that was never validated is no candidate at all.
fn unknown(node: &Node) -> NodeReason {
    let objection = Objection::Health(node.state, node.error.as_deref());
    let addr = node.addr.clone();
    NodeReason { node: addr.clone(), addr, filter: "health".into(), text: objection.to_string() }
}
