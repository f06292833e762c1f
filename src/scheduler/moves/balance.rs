//! Evening out: few moves that bring a cluster nearer to what its strategy wants.
//!
//! `spread` wants nodes alike: a move must bring the loads of two nodes closer together by `LEAST_GAIN`, and
//! leave neither as full as the fuller one was. `binpack` wants empty nodes: a node is emptied as a whole
//! onto others that are in use, or not at all. `random` wants nothing. Nodes that are not healthy or take no
//! new containers are left alone, and each container moves once at most.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::load::{Load, Loaded};
use super::{Move, Mover, Rehearsal};
use crate::cluster::View;
use crate::cluster::pending::Pending;
use crate::config::Strategy;
use crate::config::names::Named;
use crate::engine::{Container, Node};

/// A move must bring two nodes closer together by as much as half of what moving one container between nodes
/// that differ by two does: less is not worth a restart.
pub const LEAST_GAIN: i64 = 100;
/// Moves of one call, unless more or fewer are asked for.
pub const MOST_MOVES: usize = 10;
/// Nodes at either end of the order that are looked at in each step, so that big clusters are no burden.
const ENDS: usize = 32;

/// What would be done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Balance {
    /// The strategy.
    pub strategy: String,
    /// The nodes that take part, and their load before and after.
    pub nodes: Vec<Loaded>,
    /// The moves, in order.
    pub moves: Vec<Move>,
    /// What to know about it.
    pub note: String,
}

/// Whether a node gives and takes.
pub fn takes_part(node: &Node) -> bool {
    node.is_healthy() && node.specs.is_some() && node.orders.takes_containers()
}

/// Proposes up to `most` moves of some of `movers`. Of equally good ones the oldest moves: it has not just moved.
pub fn propose(mut rehearsal: Rehearsal, mut movers: Vec<Mover>, most: usize) -> Balance {
    let age = |m: &Mover| (m.container.created, m.container.name().to_string());
    movers.sort_by_cached_key(age);
    let before = loads(&rehearsal.view, &rehearsal.pending);
    let strategy = rehearsal.options().strategy;
    let (moves, note) = match strategy {
        Strategy::Spread => spread(&mut rehearsal, movers, most),
        Strategy::Binpack => binpack(&mut rehearsal, &movers, most),
        Strategy::Random => {
            (Vec::new(), "strategy random places by chance: there is nothing to even out".to_string())
        }
    };
    let after = loads(&rehearsal.view, &rehearsal.pending);
    let loaded = |(b, a): (&Loads, &Loads)| Loaded {
        node: b.0.name().to_string(),
        before: b.1.units(),
        after: a.1.units(),
    };
    let nodes = before.iter().zip(&after).map(|(b, a)| loaded((b, a))).collect();
    Balance { strategy: strategy.word().to_string(), nodes, moves, note }
}

type Loads = (Arc<Node>, Load);

/// The loads of the nodes that take part, in the view's order.
pub fn loads(view: &View, pending: &Pending) -> Vec<(Arc<Node>, Load)> {
    let promised = pending.by_node();
    let nodes = view.nodes().filter(|n| takes_part(n));
    nodes.map(|node| (Arc::clone(node), Load::of(node, &promised))).collect()
}

/// A move that might be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chance {
    gain: i64,
    mover: usize,
    from: Load,
    to: Load,
    target: usize,
}

fn spread(rehearsal: &mut Rehearsal, mut movers: Vec<Mover>, most: usize) -> (Vec<Move>, String) {
    let mut moves = Vec::new();
    while moves.len() < most {
        let loads = loads(&rehearsal.view, &rehearsal.pending);
        let Some(chance) = best(rehearsal, &movers, &loads) else {
            return (moves, String::new());
        };
        let mover = movers.remove(chance.mover);
        let to = Arc::clone(&loads[chance.target].0);
        let why = format!(
            "{} {} to {}, {} {} to {}",
            mover.node.name(),
            chance.from,
            Load(chance.from.0 - Load::added(&mover.container, &mover.node).0),
            to.name(),
            chance.to,
            Load(chance.to.0 + Load::added(&mover.container, &to).0),
        );
        rehearsal.moved(&mover, &to);
        moves.push(Move { gain: Load(chance.gain).units(), why, ..Move::new(&mover, &to) });
    }
    let more = best(rehearsal, &movers, &loads(&rehearsal.view, &rehearsal.pending)).is_some();
    (moves, if more { format!("there is more to do, but {most} moves are the limit") } else { String::new() })
}

/// The move that brings two nodes closest, among those that the filters let happen.
fn best(rehearsal: &mut Rehearsal, movers: &[Mover], loads: &[Loads]) -> Option<Chance> {
    let mut order: Vec<usize> = (0..loads.len()).collect();
    order.sort_by_key(|place| loads[*place].1);
    let targets = &order[..order.len().min(ENDS)];
    let sources: Vec<&Loads> = order.iter().rev().take(ENDS).map(|place| &loads[*place]).collect();
    let mut chances: Vec<Chance> = movers
        .iter()
        .enumerate()
        .filter_map(|(i, mover)| Some((i, mover, sources.iter().find(|s| s.0.addr == mover.node.addr)?)))
        .flat_map(|(i, mover, source)| {
            targets.iter().filter_map(move |target| chance(i, mover, source.1, &loads[*target], *target))
        })
        .collect();
    // The sort is stable: of equal ones the emptier target, of an older container, is first.
    chances.sort_by_key(|c| std::cmp::Reverse(c.gain));
    let mut ranked: Vec<Option<Vec<Arc<Node>>>> = vec![None; movers.len()];
    chances.into_iter().find(|c| {
        let fits = ranked[c.mover]
            .get_or_insert_with(|| rehearsal.rank(&movers[c.mover].request).unwrap_or_default());
        fits.iter().any(|n| n.addr == loads[c.target].0.addr)
    })
}

fn chance(mover: usize, moved: &Mover, from: Load, (node, to): &Loads, target: usize) -> Option<Chance> {
    let (a, b) = (from.0, to.0);
    let left = a - Load::added(&moved.container, &moved.node).0;
    let filled = b + Load::added(&moved.container, node).0;
    let gain = (a - b) - (left - filled).abs();
    let useful = node.addr != moved.node.addr && filled < a && gain >= LEAST_GAIN;
    useful.then_some(Chance { gain, mover, from, to: *to, target })
}

fn binpack(rehearsal: &mut Rehearsal, movers: &[Mover], most: usize) -> (Vec<Move>, String) {
    let (mut moves, mut note) = (Vec::new(), String::new());
    let mut sources = loads(&rehearsal.view, &rehearsal.pending);
    sources.sort_by_key(|(_, load)| *load);
    let mut filled: Vec<String> = Vec::new();
    for (node, _) in sources.into_iter().filter(|(node, _)| in_use(node)) {
        let here: Vec<&Mover> = movers.iter().filter(|m| m.node.addr == node.addr).collect();
        if filled.contains(&node.addr) || here.len() != running(&node).count() {
            continue;
        }
        let mut trial = rehearsal.clone();
        let Some(emptied) = emptied(&mut trial, &node, &here) else { continue };
        if moves.len() + emptied.len() > most {
            note = format!("there is more to do, but {most} moves are the limit");
            continue;
        }
        filled.extend(emptied.iter().map(|m| m.to_addr.clone()));
        moves.extend(emptied);
        *rehearsal = trial;
    }
    (moves, note)
}

/// The moves that empty a node onto others that are in use; `None` if something finds no place there.
fn emptied(trial: &mut Rehearsal, node: &Node, movers: &[&Mover]) -> Option<Vec<Move>> {
    let mut moves = Vec::new();
    for mover in movers {
        let other = |n: &&Arc<Node>| n.addr != node.addr && in_use(n) && takes_part(n);
        let to = trial.rank(&mover.request).ok()?.iter().find(other).cloned()?;
        trial.moved(mover, &to);
        let gain = 1.0 / movers.len() as f64;
        let why = format!("{} becomes empty ({} of {})", node.name(), moves.len() + 1, movers.len());
        moves.push(Move { gain: (gain * 100.0).round() / 100.0, why, ..Move::new(mover, &to) });
    }
    Some(moves)
}

fn in_use(node: &Node) -> bool {
    running(node).next().is_some()
}

fn running(node: &Node) -> impl Iterator<Item = &Arc<Container>> {
    node.inventory.containers.values().filter(|c| c.life.running)
}
