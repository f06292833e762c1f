//! The strategies: in which order nodes are asked, before any filter but enough resources counts.
//!
//! `spread` and `binpack`: by weight, then by number of containers, then in the view's order (names in natural
//! order, then addresses). So equal inputs give equal results, whatever the order in which nodes became
//! known. `random` draws with the caller's source instead, and as ever looks at no resources.

mod ranking;

use crate::cluster::standing::Standing;
use crate::config::Strategy;
use crate::engine::Resources;
use crate::scheduler::Options;
use crate::scheduler::explain::{Objection, Shortage};
use crate::scheduler::request::Request;

pub use ranking::Ranking;

/// How much health counts: one failed contact of three outweighs all of CPU and memory.
const HEALTH_FACTOR: i64 = 10;

/// What makes a node better or worse than another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// The share of its CPUs that might be used, in percent; 100 if none are asked for. Limits may add up to more.
    pub cpu: i64,
    /// The share of its memory that would be reserved, likewise.
    pub memory: i64,
    /// CPU score + memory score ± 10 × health; 0 for `random`.
    pub weight: i64,
    /// Containers there, promised ones included.
    pub containers: usize,
}

/// How a strategy looks at nodes for one request.
#[derive(Debug, Clone, Copy)]
pub struct Judge {
    strategy: Strategy,
    percent: i64,
    asked: Resources,
}

impl Judge {
    /// The judge of a request.
    pub fn new(request: &Request, options: &Options) -> Judge {
        Judge { strategy: options.strategy, percent: options.overcommit_percent, asked: request.resources() }
    }

    /// Capacity and use of a node, against what is asked for: memory, then CPUs.
    pub fn shortages(&self, node: &Standing) -> (Shortage, Shortage) {
        let (used, percent) = (node.used, self.percent);
        let memory = with_overcommit(node.memory, percent);
        // Whole CPUs, as ever: 5 % of 4 CPUs are nothing.
        let cpus = with_overcommit(node.cpus, percent).saturating_mul(1000);
        (
            Shortage { needed: self.asked.memory, used: used.memory, total: memory, percent },
            Shortage { needed: self.asked.milli_cpus, used: used.milli_cpus, total: cpus, percent },
        )
    }

    /// The score of a node, or what it has too little of.
    pub fn score<'c>(&self, node: &Standing) -> Result<Score, Objection<'c>> {
        let containers = node.containers;
        if self.strategy == Strategy::Random {
            return Ok(Score { containers, ..Score::default() });
        }
        let (memory, cpus) = self.shortages(node);
        if !fits(cpus) {
            return Err(Objection::Cpus(cpus));
        }
        if !fits(memory) {
            return Err(Objection::Memory(memory));
        }
        // Limits may add up to more than there is, as on a single engine; one alone may not.
        let limits = Shortage { needed: self.asked.milli_limit, used: node.used.milli_limit, ..cpus };
        if limits.needed > limits.total {
            return Err(Objection::CpuLimit(limits.needed, limits.total));
        }
        let (cpu, memory) = (percentage(limits), percentage(memory));
        let health = match self.strategy {
            Strategy::Binpack => HEALTH_FACTOR * node.health,
            _ => -HEALTH_FACTOR * node.health,
        };
        Ok(Score { cpu, memory, weight: cpu.saturating_add(memory + health), containers })
    }

    /// The place of a score in the order: smaller is better.
    fn key(&self, score: Score) -> (i64, i64) {
        let containers = i64::try_from(score.containers).unwrap_or(i64::MAX);
        match self.strategy {
            Strategy::Binpack => (-score.weight, -containers),
            _ => (score.weight, containers),
        }
    }
}

/// The share in percent that would be in use; 100 if nothing is asked for.
fn percentage(s: Shortage) -> i64 {
    if s.needed <= 0 {
        return 100;
    }
    let percent = (i128::from(s.used) + i128::from(s.needed)) * 100 / i128::from(s.total.max(1));
    i64::try_from(percent).unwrap_or(i64::MAX)
}

/// Whether there is as much as is needed. Truncation lets 100.99 % pass, as ever.
fn fits(s: Shortage) -> bool {
    s.needed <= s.total && percentage(s) <= 100
}

/// Capacity and what may be promised beyond it.
pub fn with_overcommit(capacity: i64, percent: i64) -> i64 {
    let more = i128::from(capacity) * i128::from(percent) / 100;
    capacity.saturating_add(i64::try_from(more).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
