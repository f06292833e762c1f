//! The way to one engine, for everybody but its task: a client for users' calls, and the task's ear.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::docker::http::Client;
use crate::engine::container::Container;
use crate::engine::refresh::What;

/// Commands that may wait for a task before its users are told to wait.
pub(super) const COMMAND_QUEUE: usize = 256;
/// How long a caller waits for a refresh before it goes on with what is known.
const REFRESH_PATIENCE: Duration = Duration::from_secs(3);
/// The same for the maker of a container, whose client asks for it next: after the end of its events an engine is read
/// again first, in its turn, and its lists may take so long.
const CREATED_PATIENCE: Duration = Duration::from_secs(30);

/// Asks a task for something.
pub(super) enum Command {
    Refresh(What, oneshot::Sender<()>),
    Created(Box<Container>, oneshot::Sender<()>),
    /// Its ID, and when it was started before: 0 for never; `None` if that is known roughly only.
    Started(String, Option<i64>, oneshot::Sender<()>),
    Forget(String, oneshot::Sender<()>),
    Suspect,
}

/// Where a task hears of commands. In boxes: a channel keeps room for 16 or 32 of what it carries, and there are thousands.
pub(super) type Ear = mpsc::Receiver<Box<Command>>;

/// The way to one engine: its client, and its task's ear. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    /// The engine's address: the key of its node.
    pub addr: String,
    /// The client for calls on behalf of users.
    pub client: Client,
    /// Networks and volumes are made one at a time on an engine, so that two containers that need the same
    /// one make it once.
    pub making: Arc<Semaphore>,
    pub(super) commands: mpsc::Sender<Box<Command>>,
}

impl Handle {
    /// Has something read again, and waits until it is in the view; at most some seconds.
    pub async fn refresh(&self, what: What) {
        self.command(REFRESH_PATIENCE, |done| Command::Refresh(what, done)).await;
    }

    /// Tells of a container that was just made, with what was asked for, and waits until it is in the view; longer
    /// than for a refresh.
    pub async fn created(&self, container: Container) {
        self.command(CREATED_PATIENCE, |done| Command::Created(Box::new(container), done)).await;
    }

    /// The same for one that must be read as a whole.
    pub async fn created_unseen(&self, id: String) {
        self.command(CREATED_PATIENCE, |done| Command::Refresh(What::Container(id), done)).await;
    }

    /// Tells that a container was just started, and waits until the view shows it: the engine's event tells it
    /// without a question. `before` is the container as it was before.
    pub async fn started(&self, before: &Container) {
        let last = Some(before.life.started.unwrap_or(0)).filter(|_| !before.rough);
        self.command(REFRESH_PATIENCE, |done| Command::Started(before.id.clone(), last, done)).await;
    }

    /// Tells that a container is gone, and waits until it is out of the view.
    pub async fn forget(&self, container: &str) {
        self.command(REFRESH_PATIENCE, |done| Command::Forget(container.to_string(), done)).await;
    }

    /// Tells that a call failed: the task confirms by a ping of its own.
    pub fn suspect(&self) {
        // A full queue means that the task has work at hand that will tell it the same.
        let _ = self.commands.try_send(Box::new(Command::Suspect));
    }

    async fn command(&self, patience: Duration, make: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, wait) = oneshot::channel();
        let exchange = async {
            if self.commands.send(Box::new(make(done))).await.is_ok() {
                let _ = wait.await;
            }
        };
        if tokio::time::timeout(patience, exchange).await.is_err() {
            tracing::debug!(ENGINE = self.addr, "a refresh takes long; going on with what is known");
        }
    }
}
