//! Which node takes a container, and why.
//!
//! Pure: view, promises, request, options and a source of chance come in; a `Placement` or a `Rejection`
//! comes out. Nothing is reserved here: the caller does that, under the same lock. See `README.md` for the
//! vocabulary, one picture, and what differs from the predecessor.

pub mod candidate;
pub mod decision;
pub mod explain;
pub mod expr;
pub mod filter;
pub mod hints;
pub mod moves;
pub mod pattern;
pub mod rejection;
pub mod request;
#[cfg(test)]
#[path = "rig_tests.rs"]
pub(crate) mod rig;
pub mod strategy;

use std::sync::Arc;

use crate::cluster::View;
use crate::cluster::pending::Pending;
use crate::config;
use crate::engine::Node;

use candidate::Field;
pub use decision::Decision;
use filter::Rule;
pub use rejection::{NodeReason, Rejection};
pub use request::Request;
use strategy::{Judge, Ranking};

/// How to choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// The order of the nodes that pass.
    pub strategy: config::Strategy,
    /// The active filters, in order.
    pub filters: Vec<config::Filter>,
    /// What may be promised beyond a node's memory and CPUs, in percent. See `overcommit_percent`.
    pub overcommit_percent: i64,
}

/// The percentage of a ratio, truncated in floating point as ever: 0.29 gives 28.
pub fn overcommit_percent(ratio: f64) -> i64 {
    (ratio * 100.0) as i64
}

/// A choice.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The chosen node: the best of those that pass all filters.
    pub node: Arc<Node>,
    /// Whether soft expressions were given up, all of them together.
    pub soft_dropped: bool,
}

/// Chooses a node. First soft expressions count like hard ones; if that leaves no node, for whatever
/// reason, they are all ignored. The error is that of the second try.
pub fn place(
    view: &View,
    pending: &Pending,
    request: &Request,
    options: &Options,
    rng: &mut fastrand::Rng,
) -> Result<Placement, Rejection> {
    let mut question = Question::new(view, pending, request, options);
    for soft in question.passes() {
        let best = question.passing(soft, rng).next();
        if let Some((_, node)) = best {
            return Ok(Placement { node: Arc::clone(node), soft_dropped: question.has_soft && !soft });
        }
    }
    Err(Rejection::new(view, &question))
}

/// All nodes that would do, best first: `place` takes the first.
pub fn rank(
    view: &View,
    pending: &Pending,
    request: &Request,
    options: &Options,
    rng: &mut fastrand::Rng,
) -> Result<Vec<Arc<Node>>, Rejection> {
    let mut question = Question::new(view, pending, request, options);
    for soft in question.passes() {
        let ranked: Vec<_> = question.passing(soft, rng).map(|(_, node)| Arc::clone(node)).collect();
        if !ranked.is_empty() {
            return Ok(ranked);
        }
    }
    Err(Rejection::new(view, &question))
}

/// The same decision in full: every node, with its scores or with what stood in its way.
pub fn explain(
    view: &View,
    pending: &Pending,
    request: &Request,
    options: &Options,
    rng: &mut fastrand::Rng,
) -> Decision {
    let mut question = Question::new(view, pending, request, options);
    for soft in question.passes() {
        let ranked: Vec<_> = question.passing(soft, rng).map(|(place, _)| place).collect();
        if !ranked.is_empty() {
            return Decision::made(view, &question, &ranked, soft);
        }
    }
    Decision::none(options, Rejection::new(view, &question))
}

/// The same as far as it costs next to nothing, in big clusters: the `most` best nodes; who was turned away is not told.
pub fn explain_best(
    view: &View,
    pending: &Pending,
    request: &Request,
    options: &Options,
    rng: &mut fastrand::Rng,
    most: usize,
) -> Decision {
    let mut question = Question::new(view, pending, request, options);
    for soft in question.passes() {
        let ranked: Vec<_> = question.passing(soft, rng).map(|(place, _)| place).take(most).collect();
        if !ranked.is_empty() {
            return Decision::best(&question, &ranked, soft);
        }
    }
    Decision::none(options, Rejection::new(view, &question))
}

/// One request, held against every node.
pub(crate) struct Question<'a> {
    options: &'a Options,
    field: Field<'a>,
    /// In their configured order: the first that objects is the one that is told of.
    rules: Vec<Box<dyn Rule + 'a>>,
    /// The same, the cheap ones first: all must pass, in whatever order.
    hurried: Vec<usize>,
    has_soft: bool,
    judge: Judge,
    /// The order of all nodes, once it is needed.
    all: Option<Ranking>,
}

impl<'a> Question<'a> {
    fn new(view: &'a View, pending: &'a Pending, request: &'a Request, options: &'a Options) -> Question<'a> {
        let field = Field::new(view, pending, request);
        let rules = filter::rules(&options.filters, request, &field);
        let mut hurried: Vec<usize> = (0..rules.len()).collect();
        hurried.sort_by_key(|i| rules[*i].cost());
        let judge = Judge::new(request, options);
        let has_soft = rules.iter().any(|r| r.has_soft());
        Question { options, field, rules, hurried, has_soft, judge, all: None }
    }

    /// With soft expressions, then without; or only without.
    fn passes(&self) -> impl Iterator<Item = bool> + use<> {
        [true, false].into_iter().skip(usize::from(!self.has_soft))
    }

    /// The nodes that pass, best first.
    fn passing<'q>(
        &'q mut self,
        soft: bool,
        rng: &'q mut fastrand::Rng,
    ) -> impl Iterator<Item = (usize, &'a Arc<Node>)> + 'q {
        let mut few = self.few(soft);
        if few.is_none() && self.all.is_none() {
            let places = 0..self.field.view().nodes().len();
            self.all = Some(Ranking::new(self.field.standings(places), &self.judge));
        }
        let Question { field, rules, hurried, all, .. } = self;
        let ranked = (0..).map_while(move |position| few.as_mut().or(all.as_mut())?.at(position, rng));
        ranked.filter_map(move |place| {
            let candidate = field.candidate(place)?;
            let passes = hurried.iter().all(|i| rules[*i].check(&candidate, soft).is_ok());
            passes.then_some((place, candidate.node))
        })
    }

    /// The order of the few nodes that can pass, where a rule names them.
    fn few(&self, soft: bool) -> Option<Ranking> {
        let named = self.rules.iter().filter_map(|r| r.places(&self.field, soft));
        let places = named.min_by_key(Vec::len)?;
        Some(Ranking::new(self.field.standings(places.into_iter()), &self.judge))
    }
}

#[cfg(test)]
#[path = "properties_tests.rs"]
mod properties;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
