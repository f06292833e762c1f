//! A decision in full, for people and programs: the ranking with its scores, what decided, and who was turned
//! away. It is data without any borrow: `Display` is its text, serde its JSON.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cluster::View;
use crate::config::names::Named;
use crate::engine::resources::Cpus;
use crate::scheduler::explain::size;
use crate::scheduler::rejection::{NodeReason, Rejection, turned_away};
use crate::scheduler::strategy::Score;
use crate::scheduler::{Options, Question};

/// A decision. Every node of the view is in exactly one of `ranking` and `turned_away`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// `spread`, `binpack` or `random`.
    pub strategy: String,
    /// Name of the chosen node.
    pub node: Option<String>,
    /// What decided.
    pub decided_by: DecidedBy,
    /// Whether soft expressions were given up, all of them together.
    pub soft_dropped: bool,
    /// The nodes that would do, best first.
    pub ranking: Vec<Ranked>,
    /// The other nodes.
    pub turned_away: Vec<NodeReason>,
    /// The classic error text, if there is no node.
    pub error: Option<String>,
}

/// What made the first of the ranking the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedBy {
    /// There is no node.
    Nothing,
    /// It was the only one left.
    OnlyOne,
    /// Its weight.
    Weight,
    /// The weight was that of the second one, the number of containers was not.
    Containers,
    /// Both were equal: the order of names, then addresses.
    Name,
    /// Strategy `random`.
    Chance,
}

/// A node that would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Ranked {
    pub node: String,
    pub addr: String,
    /// CPU score + memory score ± 10 × health.
    pub weight: i64,
    /// Percent that would be reserved; 100 if nothing is asked for.
    pub cpu_score: i64,
    pub memory_score: i64,
    /// 0 to 100.
    pub health: i64,
    /// Promised ones included.
    pub containers: usize,
    /// Bytes reserved before this container, and capacity with overcommit.
    pub memory_reserved: i64,
    pub memory_total: i64,
    /// The same in thousandths of a CPU.
    pub milli_cpus_reserved: i64,
    pub milli_cpus_total: i64,
}

impl Decision {
    pub(super) fn made(view: &View, question: &Question<'_>, ranked: &[usize], soft: bool) -> Decision {
        let best = Decision::best(question, ranked, soft);
        let chosen: HashSet<&str> = best.ranking.iter().map(|r| r.addr.as_str()).collect();
        let turned_away = turned_away(view, question, soft, &chosen);
        Decision { turned_away, ..best }
    }

    /// Without those that were turned away.
    pub(super) fn best(question: &Question<'_>, ranked: &[usize], soft: bool) -> Decision {
        let ranking: Vec<Ranked> = ranked.iter().filter_map(|place| Ranked::of(question, *place)).collect();
        Decision {
            strategy: question.options.strategy.word().to_string(),
            node: ranking.first().map(|r| r.node.clone()),
            decided_by: decided_by(question.options.strategy, &ranking),
            soft_dropped: question.has_soft && !soft,
            turned_away: Vec::new(),
            ranking,
            error: None,
        }
    }

    pub(super) fn none(options: &Options, rejection: Rejection) -> Decision {
        Decision {
            strategy: options.strategy.word().to_string(),
            node: None,
            decided_by: DecidedBy::Nothing,
            soft_dropped: false,
            ranking: Vec::new(),
            turned_away: rejection.reasons,
            error: Some(rejection.message),
        }
    }
}

fn decided_by(strategy: crate::config::Strategy, ranking: &[Ranked]) -> DecidedBy {
    match ranking {
        [] => DecidedBy::Nothing,
        [_] => DecidedBy::OnlyOne,
        _ if strategy == crate::config::Strategy::Random => DecidedBy::Chance,
        [a, b, ..] if a.weight != b.weight => DecidedBy::Weight,
        [a, b, ..] if a.containers != b.containers => DecidedBy::Containers,
        _ => DecidedBy::Name,
    }
}

impl Ranked {
    fn of(question: &Question<'_>, place: usize) -> Option<Ranked> {
        let candidate = question.field.candidate(place)?;
        let standing = candidate.standing();
        let Score { cpu, memory, weight, containers } = question.judge.score(&standing).unwrap_or_default();
        let (bytes, cpus) = question.judge.shortages(&standing);
        Some(Ranked {
            node: candidate.specs.name.clone(),
            addr: candidate.node.addr.clone(),
            weight,
            cpu_score: cpu,
            memory_score: memory,
            health: candidate.node.health,
            containers,
            memory_reserved: bytes.used,
            memory_total: bytes.total,
            milli_cpus_reserved: cpus.used,
            milli_cpus_total: cpus.total,
        })
    }
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecidedBy::Nothing => "no node will do",
            DecidedBy::OnlyOne => "the only node that will do",
            DecidedBy::Weight => "the best weight",
            DecidedBy::Containers => "equal weights, decided by the number of containers",
            DecidedBy::Name => "equal weights and numbers of containers, decided by name",
            DecidedBy::Chance => "drawn by chance",
        })
    }
}

/// A head line, the ranking as a table, then the nodes that were turned away, one on each line.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.node, &self.error) {
            (Some(node), _) => writeln!(f, "{node} ({}): {}", self.strategy, self.decided_by)?,
            (None, error) => writeln!(f, "{}", error.as_deref().unwrap_or("no node will do"))?,
        }
        if self.soft_dropped {
            writeln!(f, "soft expressions were given up: no node satisfies all of them")?;
        }
        if !self.ranking.is_empty() {
            write!(f, "{}", Table(&self.ranking))?;
        }
        for reason in &self.turned_away {
            writeln!(f, "  {}: {} [{}]", reason.node, reason.text, reason.filter)?;
        }
        Ok(())
    }
}

struct Table<'a>(&'a [Ranked]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEAD: [&str; 8] = [
            "node",
            "weight",
            "cpu %",
            "memory %",
            "health",
            "containers",
            "memory reserved",
            "CPUs reserved",
        ];
        let rows: Vec<[String; 8]> =
            std::iter::once(HEAD.map(String::from)).chain(self.0.iter().map(Ranked::cells)).collect();
        let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        for row in &rows {
            let [node, numbers @ ..] = row;
            write!(f, "  {node:<0$}", widths[0])?;
            for (cell, width) in numbers.iter().zip(&widths[1..]) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Ranked {
    fn cells(&self) -> [String; 8] {
        [
            self.node.clone(),
            self.weight.to_string(),
            self.cpu_score.to_string(),
            self.memory_score.to_string(),
            self.health.to_string(),
            self.containers.to_string(),
            format!("{} / {}", size(self.memory_reserved), size(self.memory_total)),
            format!("{} / {}", Cpus(self.milli_cpus_reserved), Cpus(self.milli_cpus_total)),
        ]
    }
}
