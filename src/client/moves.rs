//! `swarmd node drain` and `swarmd rebalance`: what the manager tells while it moves containers, shown as it
//! comes.

use std::time::Duration;

use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde_json::Value;

use crate::api::fanout::Messages;
use crate::api::swarmd::progress::{Deed, Did, Done, Drain, Planned, Progress, Rebalance};
use crate::client::table::table;
use crate::client::{Answer, Manager, nodes, segment};
use crate::docker::http::{answered, boxed, full, read_whole, request};
use crate::error::{Error, Kind, Result};
use crate::scheduler::moves::Left;

/// How much longer than the time allowed the manager may be silent: the last container is moved to its end.
const LAST_ONE: Duration = Duration::from_secs(900);
/// What stays is listed up to here for a rebalance, where that is not the point.
const SHOWN: usize = 20;

/// Prints a piece of text at once.
pub type Say<'a> = &'a mut dyn FnMut(&str);

pub(super) async fn drain(
    manager: &Manager,
    name: &str,
    drain: &Drain,
    json: bool,
    say: Say<'_>,
) -> Result<Answer> {
    let path = format!("nodes/{}/drain", segment(name));
    let show = Show { dry_run: drain.dry_run, ..Show::default() };
    follow(manager, &path, drain, drain.timeout, (!json).then_some(show), say).await
}

pub(super) async fn rebalance(
    manager: &Manager,
    wanted: &Rebalance,
    json: bool,
    say: Say<'_>,
) -> Result<Answer> {
    let show = Show { dry_run: wanted.dry_run, evens: true, ..Show::default() };
    follow(manager, "rebalance", wanted, wanted.timeout, (!json).then_some(show), say).await
}

/// Shows every line that comes, as text or as it is; the last one says how it ended.
async fn follow(
    manager: &Manager,
    path: &str,
    body: &impl Serialize,
    timeout: u64,
    mut show: Option<Show>,
    say: Say<'_>,
) -> Result<Answer> {
    let mut messages = open(manager, path, body, timeout).await?;
    let mut good = None;
    while let Some(message) = messages.next().await? {
        // What a newer manager tells beyond this is passed over.
        let progress = serde_json::from_value::<Progress>(message.clone()).ok();
        if let Some(Progress::Done(done)) = &progress {
            good = Some(done.complete);
        }
        match (&mut show, progress) {
            (Some(show), Some(progress)) => say(&show.text(&progress)),
            (Some(_), None) => {}
            (None, _) => say(&line(&message)),
        }
    }
    let broken = || {
        Error::engine(Kind::Broken, "the manager ended in the middle of it")
            .advise("nothing is lost: see `docker ps -a`, and start the same command again")
    };
    Ok(Answer { text: String::new(), good: good.ok_or_else(broken)? })
}

async fn open(manager: &Manager, path: &str, body: &impl Serialize, timeout: u64) -> Result<Messages> {
    let text = serde_json::to_string(body).map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
    let mut call = request(Method::POST, &format!("/swarmd/v1/{path}"), full(text))?;
    call.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let head = tokio::time::timeout(super::DEADLINE, manager.client.send(call)).await;
    let response = head
        .unwrap_or_else(|_| Err(manager.client.timed_out(super::DEADLINE)))
        .map_err(|e| manager.unreachable(e))?;
    let status = response.status();
    match status.is_success() {
        true => Ok(Messages::new(response.into_body(), Duration::from_secs(timeout.min(86_400)) + LAST_ONE)),
        false => {
            let answer = read_whole(boxed(response.into_body())).await?;
            Err(manager.refused(answered(status, &answer)))
        }
    }
}

fn line(message: &Value) -> String {
    format!("{message}\n")
}

/// Progress as text. A container has one line, which grows with each step.
#[derive(Debug, Default)]
struct Show {
    dry_run: bool,
    /// Whether it is about an even load.
    evens: bool,
    /// Steps in the line that is not ended yet.
    steps: Option<usize>,
}

impl Show {
    fn text(&mut self, progress: &Progress) -> String {
        match progress {
            Progress::Ordered(node) => nodes::ordered(node, "drain"),
            Progress::Planned(planned) => self.planned(planned),
            Progress::Moving(m) => {
                let end = self.end_line();
                self.steps = Some(0);
                format!("{end}[{}/{}] {}: ", m.number, m.of, m.container)
            }
            Progress::Did(did) => {
                let steps = self.steps.get_or_insert(0);
                *steps += 1;
                format!("{}{}", if *steps == 1 { "" } else { ", " }, deed(did))
            }
            Progress::Moved(moved) => {
                let end = self.end_line();
                match moved.behind.is_empty() {
                    true => end,
                    false => format!(
                        "{end}      old volumes stay on {}: {}\n",
                        moved.from,
                        moved.behind.join(", ")
                    ),
                }
            }
            Progress::Failed(left) => format!("{}      not moved: {}\n", self.end_line(), left.why),
            Progress::Done(done) => self.done(done),
        }
    }

    fn end_line(&mut self) -> String {
        match self.steps.take() {
            Some(0) => "-\n".into(),
            Some(_) => "\n".into(),
            None => String::new(),
        }
    }

    fn planned(&self, planned: &Planned) -> String {
        match (self.evens, self.dry_run) {
            (true, _) => evening(planned, self.dry_run),
            (false, true) => emptying(planned),
            (false, false) => behind(planned),
        }
    }

    fn done(&mut self, done: &Done) -> String {
        let end = self.end_line();
        if self.dry_run || (self.evens && done.moved == 0 && done.left.is_empty() && done.note.is_empty()) {
            return end;
        }
        let note = if done.note.is_empty() { String::new() } else { format!(", {}", done.note) };
        let counts = match self.evens {
            true => format!("moved {}{note}\n", done.moved),
            false => format!("moved {}, left {}{note}\n", done.moved, done.left.len()),
        };
        // What failed was told of when it did.
        end + &counts + &if self.evens { String::new() } else { stays(&done.left, done.left.len()) }
    }
}

fn deed(did: &Did) -> String {
    match did.deed {
        Deed::Created => format!("created on {}", did.node),
        Deed::Started => "started".into(),
        Deed::Healthy => "healthy".into(),
        Deed::Stopped => format!("stopped on {}", did.node),
        Deed::Removed => "removed there".into(),
        Deed::Undone => format!("removed from {} again", did.node),
        Deed::Restarted => format!("started on {} again", did.node),
    }
}

fn emptying(planned: &Planned) -> String {
    let row = |m: &crate::scheduler::moves::Move| vec![m.container.clone(), m.to.clone(), m.way.to_string()];
    let rows: Vec<_> = planned.moves.iter().map(row).collect();
    let moves = match rows.is_empty() {
        true => String::new(),
        false => table(0, &["CONTAINER", "TO", "HOW"], &rows) + &behind(planned),
    };
    let nothing = match (rows.is_empty() && planned.left.is_empty(), planned.note.as_str()) {
        (true, "") => format!("{} is empty\n", planned.node),
        (_, "") => String::new(),
        (_, note) => format!("{note}\n"),
    };
    let gap = if rows.is_empty() || planned.left.is_empty() { "" } else { "\n" };
    format!("{nothing}{moves}{gap}{}", stays(&planned.left, planned.left.len()))
}

/// The data that moves would leave.
fn behind(planned: &Planned) -> String {
    let leaves = |m: &crate::scheduler::moves::Move| {
        let volumes = m.behind.join(", ");
        format!("{} begins anew, without the data of its volumes on {}: {volumes}\n", m.container, m.from)
    };
    planned.moves.iter().filter(|m| !m.behind.is_empty()).map(leaves).collect()
}

fn evening(planned: &Planned, dry_run: bool) -> String {
    let loads: Vec<_> = planned
        .nodes
        .iter()
        .map(|n| vec![n.node.clone(), format!("{:.1}", n.before), format!("{:.1}", n.after)])
        .collect();
    let row = |m: &crate::scheduler::moves::Move| {
        vec![m.container.clone(), m.from.clone(), m.to.clone(), format!("{:.1}", m.gain), m.why.clone()]
    };
    let rows: Vec<_> = planned.moves.iter().map(row).collect();
    let mut text = table(0, &["NODE", "LOAD", "AFTER"], &loads) + "\n";
    text += &match rows.is_empty() {
        true => format!("{}\n", nothing_to_do(planned)),
        false => table(0, &["CONTAINER", "FROM", "TO", "GAIN", "WHY"], &rows),
    };
    if !planned.note.is_empty() && !rows.is_empty() {
        text += &format!("{}\n", planned.note);
    }
    if dry_run && !planned.left.is_empty() {
        text += &format!("\n{}", stays(&planned.left, SHOWN));
    }
    if !dry_run && !rows.is_empty() { text + "\n" } else { text }
}

fn nothing_to_do(planned: &Planned) -> &str {
    match (planned.note.as_str(), planned.strategy.as_str()) {
        ("", "binpack") => "nothing to do: no node can be emptied onto others",
        ("", _) => "nothing to do: no move would bring two nodes closer together",
        (note, _) => note,
    }
}

/// What stays, and why.
fn stays(left: &[Left], shown: usize) -> String {
    if left.is_empty() {
        return String::new();
    }
    let rows: Vec<_> =
        left.iter().take(shown).map(|l| vec![l.container.clone(), l.node.clone(), l.why.clone()]).collect();
    let more = match left.len().saturating_sub(shown) {
        0 => String::new(),
        n => format!("and {n} more: --json shows all\n"),
    };
    table(0, &["CONTAINER", "STAYS ON", "WHY"], &rows) + &more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::swarmd::progress::{Moved, Moving};
    use crate::api::swarmd::talk::Node;
    use crate::engine::Availability;
    use crate::scheduler::moves::load::Loaded;
    use crate::scheduler::moves::{Move, Way};

    fn moved(container: &str, to: &str, way: Way, why: &str) -> Move {
        Move {
            container: container.into(),
            id: "c1".into(),
            from: "pi1".into(),
            to: to.into(),
            to_addr: "a:1".into(),
            way,
            gain: 2.0,
            why: why.into(),
            behind: Vec::new(),
        }
    }

    fn left(container: &str, why: &str) -> Left {
        Left {
            container: container.into(),
            id: "c2".into(),
            node: "pi1".into(),
            why: why.into(),
            holds_up: true,
        }
    }

    fn texts(mut show: Show, lines: &[Progress]) -> String {
        lines.iter().map(|line| show.text(line)).collect()
    }

    fn did(deed: Deed, node: &str) -> Progress {
        Progress::Did(Did { container: "web".into(), deed, node: node.into(), id: "c1".into() })
    }

    fn turn(container: &str, number: usize) -> Progress {
        Progress::Moving(Moving { container: container.into(), number, of: 3, ..Moving::default() })
    }

    #[test]
    fn texts_are_as_in_the_golden_files() {
        let left = vec![left("db", "its data is in the volume data of this node")];
        let moves = vec![moved("web", "pi2", Way::StartFirst, "pi1 3.0 to 2.0, pi2 1.0 to 2.0")];
        let loads = ["pi1", "pi2"].map(|node| Loaded { node: node.into(), before: 3.0, after: 2.0 });
        let planned = Planned { node: "pi1".into(), moves, left: left.clone(), ..Planned::default() };
        let even = Planned {
            node: String::new(),
            nodes: loads.to_vec(),
            strategy: "spread".into(),
            ..planned.clone()
        };
        let dry = || Show { dry_run: true, ..Show::default() };
        assert_eq!(
            texts(dry(), &[Progress::Planned(planned.clone())]),
            include_str!("golden/drain-dry-run.txt")
        );
        let nothing = Planned { node: "pi1".into(), ..Planned::default() };
        assert_eq!(texts(dry(), &[Progress::Planned(nothing.clone())]), "pi1 is empty\n");
        let dry_even = Show { evens: true, ..dry() };
        assert_eq!(texts(dry_even, &[Progress::Planned(even)]), include_str!("golden/rebalance-dry-run.txt"));
        let node = Node { name: "pi1".into(), availability: Availability::Drained, ..Node::default() };
        let node = Node { since: Some("2026-01-01T00:00:00Z".into()), ..node };
        let drain = [
            Progress::Ordered(node),
            Progress::Planned(planned),
            turn("web", 1),
            did(Deed::Created, "pi2"),
            did(Deed::Started, "pi2"),
            did(Deed::Healthy, "pi2"),
            did(Deed::Stopped, "pi1"),
            did(Deed::Removed, "pi1"),
            Progress::Moved(Moved { from: "pi1".into(), behind: vec!["v1".into()], ..Moved::default() }),
            turn("api", 2),
            did(Deed::Created, "pi2"),
            did(Deed::Undone, "pi2"),
            Progress::Failed(Left { why: "it does not run on pi2: no".into(), ..left[0].clone() }),
            turn("job", 3),
            Progress::Failed(Left { why: "it is gone".into(), ..left[0].clone() }),
            Progress::Done(Done { moved: 1, left, complete: false, note: String::new() }),
        ];
        assert_eq!(texts(Show::default(), &drain), include_str!("golden/drain.txt"));
        let nothing = texts(
            Show { evens: true, ..Show::default() },
            &[Progress::Planned(nothing), Progress::Done(Done::default())],
        );
        assert!(
            nothing.ends_with("nothing to do: no move would bring two nodes closer together\n"),
            "{nothing}"
        );
    }

    #[test]
    fn lines_come_back_from_json_as_they_were() {
        for progress in [turn("web", 1), did(Deed::Undone, "pi1"), Progress::Done(Done::default())] {
            let value = serde_json::to_value(&progress).unwrap();
            assert_eq!(serde_json::from_value::<Progress>(value).unwrap(), progress);
        }
        let line = serde_json::to_value(did(Deed::Created, "pi1")).unwrap();
        assert_eq!((&line["step"], &line["deed"]), (&"did".into(), &"created".into()));
    }
}
