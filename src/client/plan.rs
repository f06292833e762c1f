//! `swarmd plan`: where containers would go.

use std::path::PathBuf;

use crate::api::swarmd::talk::{Create, Plan, Planned, Step};
use crate::client::compose::{self, resolve};
use crate::client::table::table;
use crate::client::{Answer, Manager, pretty};
use crate::error::Result;

pub(super) async fn run(manager: &Manager, create: &Create, json: bool) -> Result<Answer> {
    let plan = Plan { networks: Vec::new(), creates: vec![create.clone()] };
    let planned: Planned = manager.post("plan", &plan).await?;
    if json { as_json(&planned) } else { Ok(answer(one(&planned), &planned)) }
}

pub(super) async fn compose(
    manager: &Manager,
    files: &[PathBuf],
    project: Option<&str>,
    json: bool,
) -> Result<Answer> {
    let plan = compose::plan(&resolve(files, project)?)?;
    let planned: Planned = manager.post("plan", &plan).await?;
    if json { as_json(&planned) } else { Ok(answer(many(&planned), &planned)) }
}

fn as_json(planned: &Planned) -> Result<Answer> {
    Ok(Answer { good: all_placed(planned), ..pretty(planned)? })
}

fn answer(text: String, planned: &Planned) -> Answer {
    Answer { text, good: all_placed(planned) }
}

fn all_placed(planned: &Planned) -> bool {
    planned.steps.iter().all(|step| step.node.is_some())
}

/// One container, with all details.
fn one(planned: &Planned) -> String {
    let each = planned.steps.iter().map(|step| match (&step.decision, &step.node) {
        (Some(decision), _) => decision.to_string(),
        (None, Some(node)) => format!("{node}: {}\n", step.why),
        (None, None) => format!("{}\n", step.why),
    });
    each.collect()
}

/// Many, a line each; what finds no node says why below.
fn many(planned: &Planned) -> String {
    let name = |step: &Step| match step.kind.as_str() {
        "network" => format!("network {}", step.name),
        _ => step.name.clone(),
    };
    let row = |step: &Step| match &step.node {
        Some(node) => vec![name(step), node.clone(), step.why.clone()],
        None => vec![name(step), "nowhere".into(), "see below".into()],
    };
    let rows: Vec<_> = planned.steps.iter().map(row).collect();
    let lost = planned.steps.iter().filter(|step| step.node.is_none());
    let reasons: String = lost.map(|step| format!("\n{}: {}\n", name(step), step.why)).collect();
    table(0, &["WHAT", "NODE", "WHY"], &rows) + &reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::{decision, refusal};
    use crate::scheduler::Decision;

    #[test]
    fn texts_are_as_in_the_golden_files() {
        let step = |kind: &str, name: &str, decision: Decision| Step {
            kind: kind.into(),
            name: name.into(),
            node: decision.node.clone(),
            why: decision.error.clone().unwrap_or_else(|| decision.decided_by.to_string()),
            decision: Some(decision),
        };
        let there = Step {
            decision: None,
            why: "it is there already".into(),
            ..step("container", "shop-db-1", decision("pi1"))
        };
        let steps = vec![
            step("network", "shop_front", decision("pi1")),
            there,
            step("container", "shop-web-1", decision("pi1")),
            step("container", "shop-web-2", refusal()),
        ];
        let planned = Planned { steps };
        assert_eq!(many(&planned), include_str!("golden/plan-compose.txt"));
        assert!(!all_placed(&planned));
        let single = Planned { steps: planned.steps[2..3].to_vec() };
        assert_eq!(one(&single), include_str!("golden/plan-run.txt"));
        assert!(all_placed(&single));
    }
}
