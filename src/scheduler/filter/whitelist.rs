//! Whitelists name the nodes that will do: `whitelist:node==pi1|pi2`.
//!
//! As ever, only the names count: key and operator are not looked at, and there are no globs.

use super::Rule;
use super::constraint::first_objection;
use crate::scheduler::candidate::{Candidate, Field};
use crate::scheduler::explain::Objection;
use crate::scheduler::expr::Expr;
use crate::scheduler::request::Request;

/// The filter `whitelist`.
pub struct Whitelist(Vec<Expr>);

impl Whitelist {
    /// Parses the request's whitelists.
    pub fn new(request: &Request) -> Result<Whitelist, String> {
        Expr::parse_all(&request.hints.whitelists).map(Whitelist)
    }
}

impl Rule for Whitelist {
    fn name(&self) -> &'static str {
        "whitelist"
    }

    fn check<'c>(&'c self, node: &'c Candidate<'_>, soft: bool) -> Result<(), Objection<'c>> {
        let listed = |expr: &Expr| expr.value.split('|').any(|name| name == node.specs.name);
        match first_objection(&self.0, soft, listed) {
            Err(Objection::Pattern(expr)) => Err(Objection::Expression(expr, expr.soft)),
            other => other,
        }
    }

    fn places(&self, field: &Field<'_>, soft: bool) -> Option<Vec<usize>> {
        let expr = self.0.iter().find(|e| soft || !e.soft)?;
        let mut places: Vec<usize> =
            expr.value.split('|').flat_map(|name| field.view().places(name)).collect();
        places.sort_unstable();
        places.dedup();
        Some(places)
    }

    fn cost(&self) -> u8 {
        1
    }

    fn items(&self) -> Vec<String> {
        self.0.iter().map(Expr::with_mark).collect()
    }

    fn has_soft(&self) -> bool {
        self.0.iter().any(|e| e.soft)
    }

    fn fails_without_nodes(&self) -> bool {
        self.0.iter().any(|e| !e.soft)
    }
}
