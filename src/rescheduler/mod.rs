//! Containers that move when their node fails: those with `reschedule:on-node-failure` (environment entry or
//! label `com.docker.swarm.reschedule-policies`).
//!
//! ```text
//!  view ─► book (records, superseded) ─► plan ─► work: make, start, remove, probe ─┐
//!              ▲       │                                                           │
//!              │       └─► rescheduler.json                                        │
//!              └──────────────── task: takes in what came of it ◄──────────────────┘
//! ```
//!
//! `book` and `plan` are pure; `task` (with `outcome`) is the only one who changes the book, so that of a
//! container that comes back and its replacement exactly one wins; `work` calls engines.
//!
//! Decisions, where the predecessor did otherwise or said nothing:
//!
//! * **When.** An engine must not answer for `reschedule-delay` (30 s): a `systemctl restart docker` moves nothing.
//!   A manager that has just started counts from its own start, so engines have the same time to answer it. Only
//!   silence counts: an engine is called once more before anything moves, and one that answers that call keeps its
//!   containers, also if it cannot tell of them; an engine that leaves the list of nodes is called by us and keeps its containers as long as it
//!   answers; that a store or a list is out of reach changes nothing. Another engine at the same address (the
//!   machine was set up anew) means that the old one is gone.
//! * **Who waits.** A container with named volumes whose data is on its node alone stays, unless its label
//!   `com.docker.swarm.reschedule-volumes=move` says that it may go without the data. Volumes of network file
//!   systems and of drivers that reach all nodes keep nobody. Volumes without a name stay behind with their data
//!   while the new container gets empty ones; paths of the host mean the same path on the new node. The log names
//!   both. `docker ps -a` and `swarmd explain` say why a container waits.
//! * **How often.** Until there is a place, the node is back, or the container is gone from it.
//! * **Running or not.** What ran is started; what a user stopped through the manager, or what had stopped longer
//!   than 20 s before its engine was heard of for the last time, is made anew and not started. (An engine that is
//!   told to end stops its containers first, and does not say why they stop.)
//! * **Who wins.** The replacement carries the label `com.docker.swarm.replaces=<ID>`. As soon as it exists,
//!   the old container does not count any more: no list, look-up, name or port knows of it; that is on disk before
//!   the replacement is started. When the old node is back and the replacement was started, the container there is
//!   removed by force, but none of its volumes are: until then, seconds as a rule, both run. If the node is back
//!   before that moment, the replacement is removed instead. A replacement that cannot be started is removed, and
//!   another node is tried.
//! * **Killed managers.** Records and decisions are in `rescheduler.json` (mode 0600: environments may hold
//!   secrets). A replacement that a killed manager made and did not note is known by its label. If the old
//!   container runs on a node that answers, it stays and the replacement is removed; if it was stopped for a
//!   replacement that does not run, it is started again; else the replacement takes over if it ran ever or if the
//!   old node is still away. Nothing is ever removed because two containers have one swarm ID.
//! * **Several managers.** Only the primary decides and acts. Who becomes it first forgets what it had decided
//!   for replacements that are nowhere to be seen: another may have taken them back.
//! * **Addresses.** Static addresses and MACs are asked for again, and given up with a line in the log where the
//!   network refuses them. Networks of single machines are made on the new node, also when nobody has them any more.

pub mod book;
mod outcome;
pub mod plan;
pub mod shelf;
mod task;
#[cfg(test)]
mod tests;
mod work;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::error::Result;
use crate::systemd::beat::Beat;
use book::Book;
use shelf::Shelf;

/// Whether this manager may move containers now. One of several may: the primary.
pub type MayAct = Arc<dyn Fn() -> bool + Send + Sync>;

/// The rescheduler, before it runs.
pub struct Rescheduler {
    api: Arc<Api>,
    may_act: MayAct,
    book: Book,
    shelf: Shelf,
}

impl Rescheduler {
    /// Reads what is known. From then on containers whose place was taken do not count: call this before engines
    /// are.
    ///
    /// Errors: a file that is there and cannot be read.
    pub fn open(api: Arc<Api>, may_act: MayAct) -> Result<Rescheduler> {
        let (shelf, book) = Shelf::open(&api.config().state_dir)?;
        book.superseded.keys().for_each(|id| api.cluster.hide(id));
        api.cluster.moves().remember(book.remembered(api.config().manager.node_prefix));
        Ok(Rescheduler { api, may_act, book, shelf })
    }

    /// Runs until `cancel` fires.
    pub async fn run(self, beat: Beat, cancel: CancellationToken) {
        task::Task::new(self).run(&beat, cancel).await;
    }
}
