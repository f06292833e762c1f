//! `POST /swarmd/v1/rebalance`: a few moves that even out the load, proposed or carried out.

use std::sync::Arc;

use hyper::Response;

use super::carry::{Carrier, Trouble};
use super::{Taken, Teller};
use crate::api::Api;
use crate::api::swarmd::progress::{Done, Moving, Planned, Progress, Rebalance};
use crate::docker::http::Body;
use crate::error::{Error, Kind, Result};
use crate::scheduler::moves::balance::{Balance, propose, takes_part};
use crate::scheduler::moves::{Left, Move, Purpose, stays};

/// Containers that stay, told at most: one line of the answer holds them.
const TOLD: usize = 1000;

impl Api {
    /// Evens out, or says what that would mean.
    pub(in crate::api::swarmd) async fn rebalance(
        self: &Arc<Self>,
        wanted: Rebalance,
    ) -> Result<Response<Body>> {
        if wanted.max_moves == 0 {
            return Err(Error::client(Kind::Invalid, "max_moves must be at least 1"));
        }
        let turn = match wanted.dry_run {
            true => None,
            false => Some(self.take_turn("the load is being evened out".into())?),
        };
        let api = Arc::clone(self);
        Ok(self.progress(wanted.timeout, move |teller| async move {
            let plan = api.plan_of_rebalance(wanted.max_moves).await;
            let moves = plan.moves.clone();
            teller.tell(&Progress::Planned(plan)).await;
            let done = match turn {
                None => Done { moved: moves.len(), complete: true, ..Done::default() },
                Some(turn) => carry_out(&api, &teller, moves, &turn).await,
            };
            teller.tell(&Progress::Done(done)).await;
        }))
    }

    async fn plan_of_rebalance(&self, most: usize) -> Planned {
        // What containers ask of their host decides where they can go, and what they mount whether.
        self.cluster.details_known().await;
        self.cluster.entries_known().await;
        let view = self.cluster.view();
        let (mut movers, mut left) = (Vec::new(), Vec::new());
        for (node, container) in view.containers().filter(|(n, c)| takes_part(n) && c.life.running) {
            if let Some(why) = stays(node, container, Purpose::Even) {
                if left.len() < TOLD {
                    left.push(Left::new(node, container, &why));
                }
            } else if let Ok(mover) = self.mover(&view, node, container).await {
                movers.push(mover);
            }
        }
        let Balance { strategy, nodes, moves, note } = propose(self.rehearsal(&view), movers, most);
        Planned { node: String::new(), strategy, nodes, moves, left, note }
    }
}

/// One move after the other, up to the first that fails.
async fn carry_out(api: &Arc<Api>, teller: &Teller, moves: Vec<Move>, _turn: &Taken) -> Done {
    let (of, mut done) = (moves.len(), Done::default());
    for (number, planned) in moves.iter().enumerate() {
        if let Some(why) = teller.must_stop() {
            return Done { note: why.to_string(), ..done };
        }
        let moving = Moving {
            container: planned.container.clone(),
            id: planned.id.clone(),
            from: planned.from.clone(),
            number: number + 1,
            of,
        };
        teller.tell(&Progress::Moving(moving)).await;
        if let Err(why) = one(api, teller, planned).await {
            let left = Left {
                container: planned.container.clone(),
                id: planned.id.clone(),
                node: planned.from.clone(),
                why,
                holds_up: true,
            };
            teller.tell(&Progress::Failed(left.clone())).await;
            done.left.push(left);
            return Done { note: "ended at the first failure".into(), ..done };
        }
        done.moved += 1;
    }
    Done { complete: true, ..done }
}

async fn one(api: &Arc<Api>, teller: &Teller, planned: &Move) -> std::result::Result<(), String> {
    let view = api.cluster.view();
    let found = view.containers().find(|(_, c)| c.id == planned.id);
    let Some((node, container)) = found else { return Err("it is gone meanwhile".into()) };
    if let Some(why) = stays(node, container, Purpose::Even) {
        return Err(format!("meanwhile: {why}"));
    }
    let others = view.nodes().map(|n| n.addr.clone()).filter(|addr| *addr != planned.to_addr);
    let carrier = Carrier { api, teller, node, container, excluded: others.collect() };
    match carrier.carry().await {
        Ok(moved) => {
            teller.tell(&Progress::Moved(moved)).await;
            Ok(())
        }
        Err(Trouble::Failed(why)) => Err(why),
        Err(Trouble::Nowhere) => Err(format!("{} does not take it any more", planned.to)),
    }
}
