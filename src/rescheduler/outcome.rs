//! What came of the steps, taken into the book: here it is decided who wins.

use std::sync::Arc;

use super::book::{Record, Superseded};
use super::task::Task;
use super::work::{self, Done, StartOutcome};
use crate::api::create::Created;
use crate::cluster::moves::Moving;
use crate::error::Error;

impl Task {
    /// Takes in what came of a step.
    pub(super) async fn take(&mut self, done: Done) {
        match done {
            Done::Made { moving, made } => {
                self.busy.remove(moving.id());
                self.making = self.making.saturating_sub(1);
                match made {
                    Ok(created) => self.made(moving, created).await,
                    Err(error) => self.not_made(moving.id(), &error.message),
                }
            }
            Done::Started { of, outcome, gone } => self.started(&of, outcome, gone).await,
            Done::Removed { id, node, entry, outcome } => {
                self.removed(&id, &node, entry, outcome.err()).await;
            }
            Done::Revived { id } => drop(self.busy.remove(&id)),
            Done::Probed { engine, heard } => {
                self.busy.remove(&engine);
                self.watch.probed(&engine, heard, self.now());
            }
        }
    }

    /// A replacement is there. Whether it is needed is decided here, once and for all.
    async fn made(&mut self, moving: Moving, created: Created) {
        let (id, new) = (moving.id().to_string(), created.id());
        if !(self.may_act)() {
            tracing::info!(CONTAINER = id, "{new} was made in the place of {id}; another manager acts now");
            return;
        }
        let view = self.api.cluster.view();
        self.learn(&view);
        self.listen(&view);
        let engine = self.book.records.get(&id).map(|r| r.engine.clone());
        if !engine.is_some_and(|engine| self.watch.is_lost(&engine, 0, self.now())) {
            tracing::info!(CONTAINER = id, "container {id} is back, or gone for good: no need for {new}");
            self.busy.insert(new.clone());
            self.steps.spawn(work::remove(Arc::clone(&self.api), created.node.addr.clone(), new, None));
            return;
        }
        self.tell_of_move(&id, &created);
        let record = self.book.records.get(&id).cloned();
        self.book.supersede(&id, &new);
        self.shelf.touch();
        self.api.cluster.hide(&id);
        self.shelf.keep(&self.book, true).await;
        if let Some(record) = record.filter(Record::shall_run) {
            self.start(Some(moving), id, record, (new, created.node.addr.clone()));
        }
    }

    fn tell_of_move(&self, id: &str, created: &Created) {
        let Some(record) = self.book.records.get(id) else { return };
        let (recipe, to, new) = (&record.recipe, created.node.name(), created.id());
        tracing::info!(
            CONTAINER = recipe.name,
            NODE = to,
            "Rescheduled container {id} from {} to {to} as {new}",
            recipe.node
        );
        for (what, kept) in
            [("volumes without data", &recipe.left), ("other files behind paths", &recipe.paths)]
        {
            if !kept.is_empty() {
                let (name, list, from) = (&recipe.name, kept.join(", "), &recipe.node);
                tracing::warn!(
                    CONTAINER = name,
                    "{name} got {what} on {to}; what it had stays on {from}: {list}"
                );
            }
        }
    }

    fn not_made(&mut self, id: &str, message: &str) {
        let first = message.lines().next().unwrap_or_default();
        self.watch.failed(id, format!("no place for it yet: {first}"), None, self.now());
    }

    async fn started(&mut self, of: &str, outcome: StartOutcome, gone: bool) {
        self.busy.remove(of);
        match outcome {
            Ok(by) => self.book.runs(of, &by),
            Err((address, error)) if gone => {
                self.book.restore(of);
                self.api.cluster.unhide(of);
                let why = format!("it did not start elsewhere: {}", error.message);
                self.watch.failed(of, why, Some(address), self.now());
            }
            // Its node has gone meanwhile: it moves on from there, or is started when that is back.
            Err(_) => {}
        }
        self.shelf.touch();
        self.shelf.keep(&self.book, true).await;
    }

    async fn removed(&mut self, id: &str, node: &str, entry: Option<Superseded>, error: Option<Error>) {
        self.busy.remove(id);
        if let Some(error) = error {
            tracing::warn!(
                NODE = node,
                CONTAINER = id,
                "cannot remove container {id} from {node} yet: {error}"
            );
            return;
        }
        // The view may have told that already.
        self.book.superseded.remove(id);
        let Some(entry) = entry else { return };
        let kept = match entry.left.as_slice() {
            [] => String::new(),
            left => format!("; its volumes stay: {}", left.join(", ")),
        };
        let (name, by) = (&entry.name, &entry.by);
        tracing::info!(
            NODE = node,
            CONTAINER = name,
            "removed {name} ({id}) from {node}, whose place {by} has taken{kept}"
        );
        self.shelf.touch();
        self.shelf.keep(&self.book, true).await;
    }
}
