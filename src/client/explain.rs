//! `swarmd explain`: why a container is where it is.

use crate::api::swarmd::talk::{Explanation, Expressions};
use crate::client::{Answer, Manager, pretty};
use crate::error::Result;

pub(super) async fn explain(manager: &Manager, name: &str, json: bool) -> Result<Answer> {
    let path = format!("containers/{}/explain", super::segment(name));
    let explanation: Explanation = manager.get(&path).await?;
    if json { pretty(&explanation) } else { Ok(Answer::good(described(&explanation))) }
}

fn described(e: &Explanation) -> String {
    let mut text = format!("{} is on {}, made {}\n", e.container, e.node, e.created);
    if let Some(why) = &e.waits {
        text += &format!("Its node has failed; it {why}\n");
    }
    text += &asked(&e.expressions);
    if let Some(then) = &e.then {
        text += &format!("\nThen, {}:\n{}", then.at, then.decision);
        let more = [
            ("would have done", then.more_candidates),
            ("were turned away", then.more_turned_away),
            ("were not looked at again for this record", then.unseen),
        ];
        for (what, n) in more.into_iter().filter(|(_, n)| *n > 0) {
            text += &format!("  {n} more {what}\n");
        }
    }
    if let Some(note) = &e.note {
        text += &format!("\nThen: {note}\n");
    }
    text + &format!("\nNow, were it not there:\n{}", e.now)
}

fn asked(expressions: &Expressions) -> String {
    let kinds = [
        ("constraint", &expressions.constraints),
        ("affinity", &expressions.affinities),
        ("whitelist", &expressions.whitelists),
        ("reschedule", &expressions.reschedule),
    ];
    let lines = kinds.iter().flat_map(|(kind, all)| all.iter().map(move |one| format!("  {kind}:{one}\n")));
    let lines: String = lines.collect();
    match lines.is_empty() {
        true => "It asked for no node in particular\n".into(),
        false => format!("It asked for\n{lines}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::swarmd::talk::Then;
    use crate::client::tests::{decision, refusal};

    fn explanation() -> Explanation {
        Explanation {
            container: "web".into(),
            id: "c1".into(),
            node: "pi1".into(),
            created: "2026-01-01T00:00:00Z".into(),
            expressions: Expressions { constraints: vec!["disk==ssd".into()], ..Expressions::default() },
            then: Some(Then {
                at: "2026-01-01T00:00:00Z".into(),
                decision: decision("pi1"),
                more_candidates: 3,
                more_turned_away: 0,
                unseen: 0,
            }),
            note: None,
            waits: None,
            now: decision("pi2"),
        }
    }

    #[test]
    fn texts_are_as_in_the_golden_files() {
        assert_eq!(described(&explanation()), include_str!("golden/explain.txt"));
        let forgotten = Explanation {
            expressions: Expressions::default(),
            then: None,
            note: Some("not known any more".into()),
            waits: Some("waits: the data of volume data is on pi1 alone".into()),
            now: refusal(),
            ..explanation()
        };
        assert_eq!(described(&forgotten), include_str!("golden/explain-forgotten.txt"));
    }
}
